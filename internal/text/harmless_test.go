package text_test

import (
	"testing"

	"github.com/huntaze/hybrid-orchestrator/internal/text"
)

// harmless are texts as creators send them. Those that are long enough are also judged by their language.
var harmless = map[string][]string{
	"en": {
		"Hi {{name|there}}, thank you so much for your support this month! The new set is up tonight, and I would love to hear what you think of it. ❤️",
		"Good morning {{name}}! I just woke up and the first thing I did was to check my messages. Tell me about your plans for the weekend.",
		"Hey you... guess who is back from holiday? I took far too many pictures, e.g. this one time on the beach. Want to see them?",
		"hello.How are you today? I was thinking of you.",
		"It's 3.5 times better than last year!!! At 8.30 p.m. tonight, don't be late :)",
		"Only $9.99 this week (that's 50% off). After Sunday it's back to $19.99, i.e. the usual price.",
		"Thanks for 10,000 followers!!! You are the best <3 <3 <3",
		"Q: what do I wear tonight?\nA: you decide.\n\nReply with 1 or 2!",
		"I'll be live on 24.12.2026 at 20:30. See you there?",
		"Wait...so you really liked it? That means the world to me…",
		"Shout-out to @mila_rose for the lovely photos!",
		"The U.S. tour starts in L.A. and ends in Washington D.C. — I can't wait. Which of the shows will you come to, and who will you bring along?",
		"Dr. Love is in the house 😂 no appointment needed.",
		"It's a 9/10 and/or a 10/10, you choose.",
		"Family first 👩‍👩‍👧‍👦 then work. Proud of my roots 🏴󠁧󠁢󠁳󠁣󠁴󠁿 and of you 🏳️‍🌈",
	},
	"es": {
		"¡Hola {{name|guapo}}! Muchas gracias por tu apoyo de este mes. Esta noche subo las fotos nuevas y me encantaría saber qué te parecen.",
		"Buenos días, {{name}}. ¿Qué planes tienes para el fin de semana? Yo estaré en casa, editando un vídeo que te va a gustar mucho.",
		"¿Sabes qué? Hoy cumplo 30 años 🎂 y lo celebro contigo.",
		"Solo hoy: 20 % de descuento, p. ej. en el pack de verano. ¡No te lo pierdas!",
		"Te espero a las 21.30 h. ¡No faltes, por favor!",
		"Gracias por los mensajes de ayer; los leí todos. Responderé uno por uno, aunque tarde unos días, porque cada uno me ha hecho sonreír.",
		"EE.UU. me espera en mayo… ¿quién se apunta?",
		"La Sra. López dice que soy demasiado traviesa, jaja. ¿Tú qué opinas?",
		"Vuelvo en 5 min., ¡no te vayas!",
		"«La vida es sueño», y los sueños, sueños son. Buenas noches 😴",
		"Hace mucho que no hablamos y te echo de menos. Cuéntame cómo te va, qué has hecho estas semanas y si todavía escuchas aquella canción.",
	},
	"fr": {
		"Coucou {{name|toi}} ! Merci pour ton soutien ce mois-ci. Les nouvelles photos arrivent ce soir, et j'ai hâte de savoir ce que tu en penses.",
		"Bonjour {{name}}, comment vas-tu aujourd'hui ? Moi, je viens de rentrer de la plage et j'ai plein de choses à te raconter.",
		"J'ai reçu 3,5 kg de chocolats… Tu m'aides à les finir ?",
		"Rendez-vous à 20h30 ! Ne sois pas en retard, d'accord ?",
		"M. Dupont et Mme. Martin n'en reviennent pas, c.-à-d. qu'ils adorent.",
		"Petite surprise : -30 % jusqu'à dimanche, p. ex. sur l'album d'été.",
		"« Le bonheur, c'est maintenant », disait ma grand-mère. Elle avait bien raison, et je pense à elle chaque fois que je t'écris un petit mot.",
		"Appelle-moi quand tu veux… non, je plaisante, écris-moi 😘",
		"C'est l'anniversaire de ma sœur aujourd'hui ! Un mot gentil pour elle ?",
		"N° 1 des ventes cette semaine, grâce à vous !!!",
		"Je prépare une nouvelle série de photos en noir et blanc, et je voudrais ton avis avant de la publier : plutôt la ville ou plutôt la mer ?",
	},
	"de": {
		"Hallo {{name|du}}, vielen Dank für deine Unterstützung in diesem Monat! Heute Abend kommen die neuen Bilder, und ich bin gespannt, was du dazu sagst.",
		"Guten Morgen {{name}}! Ich bin gerade erst aufgestanden und habe gleich an dich gedacht. Was machst du heute Schönes?",
		"Um 20.15 Uhr geht's los, d.h. in zwei Stunden. Bist du dabei?",
		"Nur heute: 3,50 € statt 7,00 €, z.B. für das Sommerpaket.",
		"Liebe Grüße aus St. Pauli! Hier regnet's, u.a. in meine Schuhe.",
		"Am 24.12. gibt's eine Überraschung … mehr verrate ich nicht 😉",
		"Fr. Müller meint, ich sei zu frech. Was meinst du?",
		"P.S. Ich hab dich vermisst!",
		"Danke für 1.000.000 Klicks, ihr seid der Wahnsinn!",
		"Ich habe lange überlegt, ob ich dir das schreiben soll, aber heute ist ein guter Tag dafür: Ohne dich wäre das alles nicht möglich gewesen.",
		"Er/sie/es kommt und/oder bleibt, bzw. geht usw.",
	},
	"pt": {
		"Oi {{name|querido}}! Muito obrigada pelo seu apoio neste mês. Hoje à noite publico as fotos novas e quero muito saber o que você acha.",
		"Bom dia, {{name}}! Acabei de acordar e já estou com saudade das nossas conversas. O que você vai fazer no fim de semana?",
		"Só hoje: R$ 19,90 em vez de R$ 39,90, por ex. no pacote de verão.",
		"A Sra. Silva não acredita… e você, acredita?",
		"Às 21h30 estarei ao vivo. Não se atrase, tá?",
		"Obrigada pelos 10.000 seguidores!!! Vocês são demais 🥰",
		"Estou a preparar uma surpresa para ti, mas ainda não posso contar nada. Só digo que tem a ver com o mar, com o verão e com uma música antiga.",
		"Etc. e tal, né? Boa noite e durma bem 😴",
		"Meu irmão chega dos E.U.A. amanhã. Que alegria!",
		"Qual prefere: 1) praia, 2) campo ou 3) cidade?",
		"Faz tempo que a gente não se fala. Conta para mim como foi a sua semana, o que aconteceu no trabalho e se você ainda pensa naquela viagem.",
	},
	"it": {
		"Ciao {{name|tesoro}}! Grazie mille per il tuo sostegno di questo mese. Stasera pubblico le foto nuove e vorrei tanto sapere che cosa ne pensi.",
		"Buongiorno {{name}}, come stai oggi? Io sono appena tornata dal mare e ho un sacco di cose da raccontarti.",
		"Solo per oggi: 5,90 € invece di 9,90 €, ad es. per il pacchetto estate.",
		"Ci vediamo alle 21.30? Non fare tardi, mi raccomando!",
		"Il sig. Rossi e la sig.ra Bianchi ringraziano, ecc. ecc.",
		"Un po' di pazienza… la sorpresa arriva domani 😏",
		"Grazie a tutti per i 5.000 messaggi!!! Siete fantastici.",
		"«Chi va piano va sano e va lontano», diceva mia nonna.",
		"P.S. ti voglio bene!",
		"Sto preparando una nuova serie di fotografie in bianco e nero e vorrei il tuo parere prima di pubblicarla: preferisci la città o la campagna?",
		"Era da tanto che non ci sentivamo. Raccontami come è andata la tua settimana, che cosa hai fatto e se ascolti ancora quella canzone.",
	},
}

func TestHarmlessTextsPass(t *testing.T) {
	t.Parallel()
	template := message(t)
	count := 0
	for language, list := range harmless {
		template.Language = language
		gate := template.Gate([]string{"name"}, text.Canary("a seed"))
		for _, harmless := range list {
			count++
			if found := gate.Check(harmless); len(found) > 0 {
				t.Errorf("%s: refused for %v: %s", language, found, harmless)
			}
			merged, err := text.Merge(harmless, map[string]string{"name": "Zoë O’Neill-Díaz"})
			if err != nil {
				t.Errorf("%s: %v: %s", language, err, harmless)
			}
			if found := gate.CheckMerged(merged); len(found) > 0 {
				t.Errorf("%s: merged, refused for %v: %s", language, found, merged)
			}
		}
	}
	if count < 60 {
		t.Errorf("only %d texts", count)
	}
}

// A long text in another language than the one that is asked for is told from it, and none is told from its own.
func TestLanguage(t *testing.T) {
	t.Parallel()
	refused, pairs := 0, 0
	for language, list := range harmless {
		for _, other := range []string{"en", "es", "fr", "de", "pt", "it", "ja", "ru"} {
			for _, harmless := range list {
				found := text.Gate{Language: other, Fields: []string{"name"}}.Check(harmless)
				if other == language || len([]rune(harmless)) < 130 {
					continue
				}
				pairs++
				if len(found) > 0 {
					refused++
				}
			}
		}
	}
	if refused*10 < pairs*7 {
		t.Errorf("only %d of %d long texts in another language are refused", refused, pairs)
	}
	long := harmless["fr"][0]
	for language, want := range map[string]bool{"": true, "fr": true, "fr-CA": true, "FR": true, "de": false, "en-GB": false, "ja": false, "tlh": true, "not a tag": true} {
		if got := len(text.Gate{Language: language, Fields: []string{"name"}}.Check(long)) == 0; got != want {
			t.Errorf("French passes as %q: %v, want %v", language, got, want)
		}
	}
}

func message(t testing.TB) text.Template {
	t.Helper()
	set, err := text.Load("")
	if err != nil {
		t.Fatal(err)
	}
	template, err := set.Get("message")
	if err != nil {
		t.Fatal(err)
	}
	return template
}

package providersim

// speech is what a simulated model says in one language.
type speech struct {
	named, plain string
	said, asks   []string
}

var speeches = map[string]speech{
	"en": {"Hey {{name}},", "Hey,",
		[]string{"I was just thinking of you.", "today was a good day here.", "I have something new for you.", "it has been quiet without you.",
			"the weekend is almost here.", "I made a little plan.", "I saved a story for you."},
		[]string{"How was your day?", "Shall I tell you more?", "What are you up to?", "Do you have a minute?", "Want to guess what it is?"}},
	"de": {"Hallo {{name}},", "Hallo,",
		[]string{"ich habe gerade an dich gedacht.", "heute war ein guter Tag.", "ich habe etwas Neues für dich."},
		[]string{"Wie war dein Tag?", "Soll ich mehr erzählen?"}},
	"fr": {"Coucou {{name}},", "Coucou,",
		[]string{"je pensais justement à toi.", "la journée était belle ici.", "j'ai quelque chose de nouveau pour toi."},
		[]string{"Comment s'est passée ta journée ?", "Tu veux en savoir plus ?"}},
	"es": {"Hola {{name}},", "Hola,",
		[]string{"justo estaba pensando en ti.", "hoy fue un buen día.", "tengo algo nuevo para ti."},
		[]string{"¿Cómo estuvo tu día?", "¿Quieres que te cuente más?"}},
}

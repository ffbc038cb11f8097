package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "hunter2"

func TestSecretsAreNeverShown(t *testing.T) {
	t.Parallel()
	environ := map[string]string{
		"DATABASE_URL":          "postgres://huntaze:" + canary + "@db.internal:5432/huntaze?sslpassword=" + canary,
		"GATEWAY_TOKEN":         canary,
		"AWS_SECRET_ACCESS_KEY": canary,
		"GATEWAY_TOKN":          canary,
	}
	cfg, err := Load(environ)
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.GatewayToken.Reveal(); got != canary {
		t.Fatalf("Reveal returned %q", got)
	}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("start", "config", cfg, "token", cfg.GatewayToken)
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("start", "config", cfg, "token", cfg.GatewayToken)
	encoded, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{
		"%v": fmt.Sprintf("%v", cfg), "%+v": fmt.Sprintf("%+v", cfg), "%#v": fmt.Sprintf("%#v", cfg),
		"%x": fmt.Sprintf("%x", cfg.GatewayToken), "%q": fmt.Sprintf("%q", cfg.DatabaseURL), "pointer": fmt.Sprintf("%+v", &cfg), "one": fmt.Sprint(cfg.GatewayToken),
		"slog": logged.String(), "json": string(encoded),
		"describe": fmt.Sprintf("%+v", Describe(cfg, environ)), "warnings": fmt.Sprint(Warnings(environ)),
	}
	for how, text := range shown {
		if strings.Contains(text, canary) {
			t.Errorf("%s shows a secret: %s", how, text)
		}
	}
}

func TestSecretAddress(t *testing.T) {
	t.Parallel()
	tests := []struct{ secret, want string }{
		{"", ""},
		{"postgres://huntaze:hunter2@db:5432/huntaze?sslmode=require", "postgres://huntaze:***@db:5432/huntaze"},
		{"postgresql://huntaze@db/huntaze", "postgresql://huntaze@db/huntaze"},
		{"postgres:///huntaze?host=/run", "postgres:///huntaze"},
		{"host=db password=hunter2", hidden},
		{"hunter2", hidden},
		{"postgres://u:12/34@db/huntaze", hidden}, // the password's / was not escaped, so 12 looks like a port
		{"postgres://u:12?34@db/huntaze", hidden},
		{"postgres://u:12#34@db/huntaze", hidden},
		{"https://u:hunter2@db/huntaze", hidden},
	}
	for _, tt := range tests {
		if got := Secret(tt.secret).Address(); got != tt.want {
			t.Errorf("Address of %q is %q, want %q", tt.secret, got, tt.want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for i, field := range fields {
		f.Add(i, field.example())
		f.Add(i, "0")
	}
	f.Add(0, "postgres://u:"+canary+"@h/db")
	f.Fuzz(func(t *testing.T, which int, value string) {
		field := fields[uint(which)%uint(len(fields))]
		environ := map[string]string{field.name: value}
		cfg, err := Load(environ)
		if err != nil {
			var problem Problem
			for _, one := range err.(Errors) {
				problem = one
				if one.Hidden && one.Value != "" {
					t.Errorf("a hidden problem keeps its value: %+v", one)
				}
			}
			if problem.Name == "" || problem.Error() == "" {
				t.Errorf("an error without a variable: %v", err)
			}
			return
		}
		Describe(cfg, environ)
	})
}

package gateway

import (
	"strings"
	"testing"
	"time"
)

func TestConfigErrorsNameVariableAndRemedy(t *testing.T) {
	t.Parallel()
	good := Config{URL: "https://gateway.example.com/base"}
	for name, c := range map[string]struct {
		change func(*Config)
		names  string
	}{
		"missing":      {func(c *Config) { c.URL = "" }, "GATEWAY_URL is not set"},
		"relative":     {func(c *Config) { c.URL = "/v1" }, "GATEWAY_URL"},
		"other scheme": {func(c *Config) { c.URL = "ftp://host" }, "GATEWAY_URL"},
		"no host":      {func(c *Config) { c.URL = "http:///x" }, "GATEWAY_URL"},
		"port only":    {func(c *Config) { c.URL = "http://:80" }, "GATEWAY_URL"},
		"broken":       {func(c *Config) { c.URL = "http://h\x7f" }, "GATEWAY_URL"},
		"password":     {func(c *Config) { c.URL = "https://u:hunter2@host" }, "GATEWAY_TOKEN"},
		"query":        {func(c *Config) { c.URL = "https://host/?key=hunter2" }, "GATEWAY_URL"},
		"fragment":     {func(c *Config) { c.URL = "https://host/#x" }, "GATEWAY_URL"},
		"token line":   {func(c *Config) { c.Token = "hunter2\n" }, "GATEWAY_TOKEN"},
		"token inside": {func(c *Config) { c.Token = "hunter2\r\nX: 1" }, "GATEWAY_TOKEN"},
		"timeout":      {func(c *Config) { c.Timeout = -1 }, "GATEWAY_TIMEOUT"},
		"look-up":      {func(c *Config) { c.LookupTimeout = -1 }, "GATEWAY_LOOKUP_TIMEOUT"},
		"connect":      {func(c *Config) { c.ConnectTimeout = -1 }, "GATEWAY_CONNECT_TIMEOUT"},
		"idle":         {func(c *Config) { c.IdleTimeout = -1 }, "GATEWAY_IDLE_TIMEOUT"},
		"connections":  {func(c *Config) { c.MaxConnections = -1 }, "GATEWAY_MAX_CONNECTIONS"},
	} {
		config := good
		c.change(&config)
		client, err := New(config)
		if err == nil {
			client.Close()
			t.Errorf("%s: no error", name)
			continue
		}
		text := err.Error()
		if !strings.Contains(text, c.names) || !strings.Contains(text, ": ") || strings.Contains(text, "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	client, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if client.endpoint != "https://gateway.example.com/base/v1/messages" || client.config.Timeout != 20*time.Second ||
		client.config.IdleTimeout != 4*time.Second || client.config.MaxConnections != DefaultMaxConnections {
		t.Errorf("%s %+v", client.endpoint, client.config)
	}
}

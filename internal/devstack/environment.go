package devstack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/joho/godotenv"
)

// writeEnvironment tells other commands where everything is, in the form of .env. The file holds the database's
// password. Variables without a value are left out.
func writeEnvironment(path string, variables map[string]string) error {
	set := make(map[string]string, len(variables))
	for name, value := range variables {
		if value != "" {
			set[name] = value
		}
	}
	lines, err := godotenv.Marshal(set)
	if err == nil {
		text := fmt.Sprintf("# Where the running huntaze dev (process %d) has everything. It removes this file when it stops.\n%s\n", os.Getpid(), lines)
		err = replaceFile(path, func(file *os.File) error { _, err := file.WriteString(text); return err })
	}
	if err != nil {
		return fmt.Errorf("stack.env: %w", err)
	}
	return nil
}

func removeEnvironment(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("stack.env: %w", err)
	}
	return nil
}

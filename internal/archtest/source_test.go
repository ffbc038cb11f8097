package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sqlPlaces are the only folders with SQL: the database's own, and those that make databases or measure them.
var sqlPlaces = []string{"db", "migrations", "bench", "internal/pgtest", "internal/devstack/localpg"}

// maxLines is where a file has stopped being about one thing.
const maxLines = 500

// statement matches how an SQL statement begins, in code: a text that only tells of one has no such form.
var statement = regexp.MustCompile(`(?is)^\s*(--[^\n]*\n\s*)*(` + strings.Join([]string{
	`SELECT\s.*\bFROM\s`,
	`SELECT\s+[a-z_.]+\s*\(`,
	`SELECT\s+[0-9$]`,
	`INSERT\s+INTO\s`,
	`UPDATE\s+(ONLY\s+)?[\w."]+\s+(AS\s+)?(\w+\s+)?SET\s`,
	`DELETE\s+FROM\s`,
	`MERGE\s+INTO\s`,
	`WITH\s+(RECURSIVE\s+)?\w+\s*(\([^)]*\)\s*)?AS\s+((NOT\s+)?MATERIALIZED\s*)?\(`,
	`(CREATE|ALTER|DROP)\s+(UNIQUE\s+)?(TABLE|INDEX|SCHEMA|DATABASE|EXTENSION|TYPE|FUNCTION|ROLE|VIEW)\s`,
	`TRUNCATE\s+(TABLE\s+)?\w+\s*(;|$)`,
	`COPY\s+\w+\s*(\([^)]*\)\s*)?(FROM|TO)\s+STD`,
	`(LISTEN|NOTIFY)\s+"?\w+"?\s*(;|,|$)`,
}, "|") + `)`)

func TestSQLOnlyInItsPlaces(t *testing.T) {
	t.Parallel()
	walk(t, func(path string, text []byte) {
		if slices.ContainsFunc(sqlPlaces, func(place string) bool { return strings.HasPrefix(path, place+"/") }) {
			return
		}
		if strings.HasSuffix(path, ".sql") {
			t.Errorf("%s: SQL belongs in db or migrations", path)
		}
		if !production(path) {
			return
		}
		for position, found := range statements(t, path, text) {
			t.Errorf("%s: SQL belongs in db or migrations: %.60q", position, found)
		}
	})
}

func TestFilesAreShort(t *testing.T) {
	t.Parallel()
	walk(t, func(path string, text []byte) {
		if lines := bytes.Count(text, []byte("\n")); production(path) && lines > maxLines && !generated(text) {
			t.Errorf("%s has %d lines, more than %d: divide it", path, lines, maxLines)
		}
	})
}

func TestStatementIsSeen(t *testing.T) {
	t.Parallel()
	sql := []string{
		`"SELECT id FROM workflows WHERE id = $1"`, "`\n\t-- why\n\tselect id\n\tfrom workflows`", `"SELECT now()"`, `"SELECT pg_advisory_lock($1)"`, `"SELECT 1"`,
		`"SELECT " + columns + " FROM workflows"`, `"INSERT INTO t (a) VALUES ($1)"`, `"UPDATE t SET a = 1"`, `"UPDATE t AS x SET a = 1"`, `"update t x set a = 1"`,
		`"DELETE FROM t"`, `"WITH a AS (SELECT 1) SELECT * FROM a"`, `"WITH RECURSIVE a(n) AS MATERIALIZED (SELECT 1)"`, `"CREATE UNIQUE INDEX i ON t (a)"`,
		`"DROP DATABASE x"`, `"TRUNCATE t"`, `"LISTEN wake"`, `"COPY t (a) FROM STDIN"`,
	}
	for _, text := range sql {
		if len(statements(t, "x.go", []byte("package x\nvar columns string\nvar x = "+text))) == 0 {
			t.Errorf("not seen: %s", text)
		}
	}
	prose := []string{
		`"update the limits of an account, set them anew"`, `"select a campaign"`, `"with an account"`, `"insert a message"`, `"deleted from the queue"`,
		`"Update " + name`, `"create a table of results"`, `"listen on this address"`, `"copy of the message"`, `"drop it"`, `"SELECT"`, `""`, "`{}`",
	}
	for _, text := range prose {
		if found := statements(t, "x.go", []byte("package x\nvar name string\nvar x = "+text)); len(found) > 0 {
			t.Errorf("taken for SQL: %s", text)
		}
	}
}

// statements returns the string literals that begin like SQL, by position. Literals that are added together
// count as one, with a word in the place of what is not a literal.
func statements(t *testing.T, path string, text []byte) map[string]string {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, text, parser.SkipObjectResolution)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return nil
	}
	found := make(map[string]string)
	ast.Inspect(file, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.BinaryExpr:
			if node.Op != token.ADD {
				return true
			}
		case *ast.BasicLit:
		default:
			return true
		}
		if all := joined(node.(ast.Expr)); statement.MatchString(all) {
			found[files.Position(node.Pos()).String()] = all
			return false
		}
		return true
	})
	return found
}

func joined(expression ast.Expr) string {
	switch e := expression.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return text
		}
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			return joined(e.X) + joined(e.Y)
		}
	case *ast.ParenExpr:
		return joined(e.X)
	}
	return "x"
}

func production(path string) bool {
	return strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")
}

var generatedLine = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func generated(text []byte) bool { return generatedLine.Match(text) }

// walk calls visit for every Go and SQL file of the project, with its path from the top.
func walk(t *testing.T, visit func(path string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if ext := filepath.Ext(name); ext != ".go" && ext != ".sql" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(relative), text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

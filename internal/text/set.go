package text

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed prompts/*.yaml
var embedded embed.FS

const maxVersion = 1_000_000

var (
	namePattern = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)
	filePattern = regexp.MustCompile(`^([a-z][a-z0-9_-]{0,63})\.v([1-9][0-9]{0,6})\.yaml$`)
)

// Set holds the templates there are. It does not change once it is loaded.
type Set struct {
	templates []Template // by name and version
}

// Load reads the templates that come with the program and then those of a folder, whose files replace or add
// versions; an empty dir means none. Only files that end in .yaml or .yml are looked at, and each of them must be
// right: a template that was left out silently would be noticed by its messages.
func Load(dir string) (*Set, error) {
	set := &Set{}
	own, err := fs.Sub(embedded, "prompts")
	if err != nil {
		return nil, err
	}
	if err := set.add(own, "prompts"); err != nil {
		return nil, err
	}
	if dir != "" {
		if err := set.add(os.DirFS(dir), dir); err != nil {
			return nil, err
		}
	}
	return set, nil
}

func (s *Set) add(folder fs.FS, where string) error {
	entries, err := fs.ReadDir(folder, ".")
	if err != nil {
		return fmt.Errorf("the folder of templates %s can't be read: %w; create it or leave the setting empty", where, err)
	}
	for _, entry := range entries {
		name := entry.Name()
		ext := filepath.Ext(name)
		// Names that begin with a dot are an editor's, or the bookkeeping of a mounted folder.
		if strings.HasPrefix(name, ".") || (ext != ".yaml" && ext != ".yml") {
			continue
		}
		if err := s.addFile(folder, name); err != nil {
			return fmt.Errorf("template %s: %w", filepath.Join(where, name), err)
		}
	}
	return nil
}

func (s *Set) addFile(folder fs.FS, name string) error {
	parts := filePattern.FindStringSubmatch(name)
	if parts == nil {
		return errors.New(`the file's name says no template and version; call it such as "message.v2.yaml"`)
	}
	info, err := fs.Stat(folder, name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return fmt.Errorf("it is no regular file of at most %d bytes; replace or remove it", maxFile)
	}
	content, err := fs.ReadFile(folder, name)
	if err != nil {
		return err
	}
	template, err := parseTemplate(content)
	if err != nil {
		return err
	}
	if template.Name != parts[1] || strconv.Itoa(template.Version) != parts[2] {
		return fmt.Errorf("name and version inside say %s; make the file's name and its content agree", template.ID())
	}
	position, found := slices.BinarySearchFunc(s.templates, template, compareTemplates)
	if found {
		s.templates[position] = template
	} else {
		s.templates = slices.Insert(s.templates, position, template)
	}
	return nil
}

func compareTemplates(a, b Template) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
}

// Get returns the highest version of a template ("message") or the named one ("message@1").
func (s *Set) Get(ref string) (Template, error) {
	for _, t := range slices.Backward(s.templates) {
		if t.Name == ref || t.ID() == ref {
			return t.clone(), nil
		}
	}
	return Template{}, fmt.Errorf("there is no template %.80q; there are %s", ref, strings.Join(s.IDs(), ", "))
}

// IDs lists the templates, by name and version.
func (s *Set) IDs() []string {
	ids := make([]string, len(s.templates))
	for i, t := range s.templates {
		ids[i] = t.ID()
	}
	return ids
}

// clone keeps a caller's changes from those who get the template after it.
func (t Template) clone() Template {
	t.LinkHosts = slices.Clone(t.LinkHosts)
	hints := make(map[Violation]string, len(t.RepairHints))
	for rule, hint := range t.RepairHints {
		hints[rule] = hint
	}
	t.RepairHints = hints
	return t
}

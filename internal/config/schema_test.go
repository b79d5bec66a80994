package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

func examples(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(paths) < 5 {
		t.Fatalf("Glob = %v, %v, want five examples or more", paths, err)
	}
	return paths
}

func compareConfigs(want, got *Config) string { return cmp.Diff(want, got, same) }

func TestExamples(t *testing.T) {
	schema := compiled(t)
	for _, path := range examples(t) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if c, problems := Load(path, noVariables); c == nil || len(problems) > 0 {
			t.Errorf("Load(%s) has problems:\n%s", path, format(t, problems, false))
		}
		if err := schema.Validate(value(t, data)); err != nil {
			t.Errorf("the schema refuses %s: %v", path, err)
		}
	}
}

// TestWholeExampleHasEveryKey: but those of the short shape, and those that say the same another way.
func TestWholeExampleHasEveryKey(t *testing.T) {
	data, err := os.ReadFile("../../examples/whole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range structs() {
		for _, f := range fieldsOf(s) {
			if f.name != "listen" && f.name != "include" && !strings.Contains(string(data), f.name+":") {
				t.Errorf("whole.yaml does not show %s", f.name)
			}
		}
	}
}

func compiled(t *testing.T) *validator.Schema {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("poise.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("poise.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// value is YAML as a JSON Schema validator sees it.
func value(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	if err := yaml.Load(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSchemaRefusesWhatIsBroken takes the broken files whose mistakes a schema can see.
func TestSchemaRefusesWhatIsBroken(t *testing.T) {
	schema := compiled(t)
	checked := 0
	for _, pattern := range []string{"unknown-key-*", "wrong-type-*", "driver*", "duration.yaml", "policy*", "protocol*", "level-*", "number-range*", "weight.yaml", "log-format*", "status*", "size.yaml"} {
		paths, err := filepath.Glob("testdata/broken/" + strings.TrimSuffix(pattern, ".yaml") + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			checked++
			if schema.Validate(value(t, data)) == nil {
				t.Errorf("the schema takes %s, want a refusal", path)
			}
		}
	}
	if checked < 30 {
		t.Errorf("%d broken files were held against the schema, want 30 or more", checked)
	}
}

func TestSchemaTakesVariables(t *testing.T) {
	schema := compiled(t)
	text := "loops: ${N}\nlisten: \":${P}\"\nservers: [{ address: \"a:${P}\", weight: \"${W:-1}\", backup: \"${B}\" }]\ntimeouts:\n  connect: ${T}\nlimits:\n  head: ${S}\n"
	if err := schema.Validate(value(t, []byte(text))); err != nil {
		t.Errorf("the schema refuses variables: %v", err)
	}
}

func TestSchemaSaysDefaultsAndMeanings(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"default": "5s"`, `"default": 256`, `"default": true`, `"least_requests"`, "How long a client's connection stays open between requests.", `"additionalProperties": false`} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("Schema() has no %s", want)
		}
	}
}

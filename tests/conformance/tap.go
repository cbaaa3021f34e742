// Package tap is what runtime-tools uses of github.com/mndrix/tap-go, which Debian does not have.
package tap

import (
	"encoding/json"
	"fmt"
	"strings"
)

// T writes the Test Anything Protocol to standard output.
type T struct {
	count  *int
	isTodo bool
}

// New returns a T that has written nothing.
func New() *T { return &T{count: new(int)} }

// Todo returns the same T for a test that is not written yet.
func (t *T) Todo() *T { return &T{count: t.count, isTodo: true} }

// Header announces count tests; 0: the plan comes last.
func (t *T) Header(count int) {
	fmt.Println("TAP version 13")
	if count > 0 {
		fmt.Printf("1..%d\n", count)
	}
}

// AutoPlan announces as many tests as there were.
func (t *T) AutoPlan() { fmt.Printf("1..%d\n", *t.count) }

// Ok is a test's outcome.
func (t *T) Ok(passed bool, description string) {
	verdict := "ok"
	if !passed {
		verdict = "not ok"
	}
	*t.count++
	fmt.Printf("%s %d - %s\n", verdict, *t.count, description)
}

// Fail is a test that failed.
func (t *T) Fail(description string) { t.Ok(false, description) }

// Pass is a test that passed.
func (t *T) Pass(description string) { t.Ok(true, description) }

// Skip is count tests that were left out.
func (t *T) Skip(count int, reason string) {
	for ; count > 0; count-- {
		*t.count++
		fmt.Printf("ok %d # SKIP %s\n", *t.count, reason)
	}
}

// Diagnostic is a comment.
func (t *T) Diagnostic(message string) {
	fmt.Println("# " + strings.ReplaceAll(message, "\n", "\n# "))
}

// Diagnosticf is a comment, formatted.
func (t *T) Diagnosticf(format string, arguments ...interface{}) {
	t.Diagnostic(fmt.Sprintf(format, arguments...))
}

// YAML is a comment for machines; JSON is YAML.
func (t *T) YAML(message interface{}) error {
	text, err := json.MarshalIndent(message, "  ", "  ")
	if err == nil {
		fmt.Printf("  ---\n  %s\n  ...\n", text)
	}
	return err
}

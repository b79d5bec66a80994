package load

import (
	"fmt"
	"log/slog"
	"os"

	"poise/internal/app"
	"poise/internal/config"
)

// poiseRole runs Poise in a process of its own, with the configuration in the environment.
func poiseRole() (addr string, err error) {
	c, problems := config.Parse("test.yaml", []byte(os.Getenv("POISE_TEST_CONFIG")), os.LookupEnv)
	if problems.HasErrors() {
		return "", fmt.Errorf("the test's configuration: %v", problems)
	}
	a, err := app.Start(app.Options{Config: c, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Version: "test", Poison: true})
	if err != nil {
		return "", err
	}
	return a.Status().Listeners[0].Addresses[0], nil
}

// The example application of the demo for Go: each job streams an answer of Claude in one way and prints one line.
// The exporter is configured by environment variables. There is no other telemetry code.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/trace"
)

const patience = 1500 * time.Millisecond // until the user of `cancelled` leaves

var errBug = errors.New("a bug")

type job struct {
	Name       string  `json:"name"`
	BaseURL    string  `json:"base_url"`
	Model      string  `json:"model"`
	Prompt     string  `json:"prompt"`
	Style      string  `json:"style"`
	After      float64 `json:"after"`
	MaxRetries *int    `json:"max_retries"`
}

// read streams the answer and passes its events on, until one returns an error.
func read(ctx context.Context, j job, use func(count int, text string) error) error {
	retries := 2
	if j.MaxRetries != nil {
		retries = *j.MaxRetries
	}
	client := anthropic.NewClient(
		option.WithAPIKey("none"), option.WithBaseURL(j.BaseURL), option.WithMaxRetries(retries),
	)
	stream := client.Messages.NewStreaming(ctx, anthropic.MessageNewParams{
		Model:     anthropic.Model(j.Model),
		MaxTokens: 1024,
		Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(j.Prompt))},
	})
	if j.Style != "careless" {
		defer stream.Close()
	}
	for count := 1; stream.Next(); count++ {
		if err := use(count, stream.Current().Delta.Text); err != nil {
			return err
		}
	}
	return stream.Err()
}

var errEnough = errors.New("enough")

// stops returns a reader that ends a stream as the style requires.
func stops(style string) func(count int, text string) error {
	characters := 0
	return func(count int, text string) error {
		characters += len(text)
		switch {
		case style == "first_sentence" && characters > 40, style == "careless" && count == 12:
			return errEnough
		case style == "buggy" && count == 14:
			return errBug
		}
		return nil
	}
}

func work(j job) {
	time.Sleep(time.Duration(j.After * float64(time.Second)))
	ctx := context.Background()
	if j.Style == "cancelled" {
		cancelled, cancel := context.WithCancel(ctx)
		time.AfterFunc(patience, cancel)
		ctx = cancelled
	}
	fmt.Printf("%s: %.60q\n", j.Name, fmt.Sprint(read(ctx, j, stops(j.Style))))
}

func main() {
	exporter, err := otlptracehttp.New(context.Background())
	if err != nil {
		panic(err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter))
	otel.SetTracerProvider(provider)
	var jobs []job
	if err := json.NewDecoder(os.Stdin).Decode(&jobs); err != nil {
		panic(err)
	}
	var running sync.WaitGroup
	for _, j := range jobs {
		running.Add(1)
		go func() { defer running.Done(); work(j) }()
	}
	running.Wait()
	if err := provider.Shutdown(context.Background()); err != nil {
		panic(err)
	}
}

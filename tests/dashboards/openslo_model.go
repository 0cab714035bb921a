// This command reads objectives with OpenSLO's Go SDK, which rejects unknown fields, and validates each of them.
// It prints the version, the kind and the name of each object.
package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/OpenSLO/go-sdk/pkg/openslosdk"
)

func check(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	objects, err := openslosdk.Decode(bytes.NewReader(text), openslosdk.FormatYAML)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := object.Validate(); err != nil {
			return err
		}
		fmt.Println(object.GetVersion(), object.GetKind(), object.GetName())
	}
	return nil
}

func main() {
	for _, path := range os.Args[1:] {
		if err := check(path); err != nil {
			fmt.Printf("%s: %v\n", path, err)
			os.Exit(1)
		}
	}
}

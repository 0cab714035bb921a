// Command perses_model reads dashboards with the Go model of Perses, which checks the references of the layouts and the
// variables. It reports each field that the model does not keep. The options of plugins are not in the model.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	v1 "github.com/perses/perses/pkg/model/api/v1"
)

// lost returns the path of the first value of given that kept does not have. A false, empty or absent value is the same.
func lost(path string, given, kept any) string {
	switch given := given.(type) {
	case map[string]any:
		fields, _ := kept.(map[string]any)
		for name, value := range given {
			if found := lost(path+"."+name, value, fields[name]); found != "" {
				return found
			}
		}
		return ""
	case []any:
		items, _ := kept.([]any)
		for number, value := range given {
			var item any
			if number < len(items) {
				item = items[number]
			}
			if found := lost(fmt.Sprintf("%s[%d]", path, number), value, item); found != "" {
				return found
			}
		}
		return ""
	case nil:
		return ""
	case bool:
		if !given {
			return ""
		}
	}
	if given != kept {
		return path
	}
	return ""
}

func check(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var board v1.Dashboard
	if err := json.Unmarshal(text, &board); err != nil {
		return err
	}
	written, err := json.Marshal(board)
	if err != nil {
		return err
	}
	var given, kept any
	if err := json.Unmarshal(text, &given); err != nil {
		return err
	}
	if err := json.Unmarshal(written, &kept); err != nil {
		return err
	}
	if found := lost("", given, kept); found != "" {
		return fmt.Errorf("not in the model: %s", found[1:])
	}
	return nil
}

func main() {
	code := 0
	for _, path := range os.Args[1:] {
		if err := check(path); err != nil {
			fmt.Printf("%s: %v\n", path, err)
			code = 1
		}
	}
	os.Exit(code)
}

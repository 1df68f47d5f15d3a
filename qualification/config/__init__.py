"""Reading of YAML files that people write: text to a pydantic model, every problem with its place.

This package knows no particular kind of file. Each kind is a `Form` (in `problems`), defined where
its models are: `topology.form` and `judge.known.expectations`.

- `reading`: reads a file or a text as a form, and gives a form's JSON schema.
- `document`: parses YAML into plain data and keeps the line and column of every key.
- `environment`: substitutes environment variables in texts.
- `problems`: turns pydantic's errors into messages in plain words, at their places in the file.
- `wording`: how these messages show values, key paths and suggestions.
- `values`: kinds of single values that several forms use.
"""

"""The file format of docs/format.md: header, frames, index, trailer."""

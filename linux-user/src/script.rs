//! The `#!` line of a script.

/// Most bytes of the line that count, as in Linux.
const LINE_MAX: usize = 256;

/// What a `#!` line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InterpreterLine {
    /// Path of the interpreter.
    pub interpreter: Vec<u8>,
    /// Everything after it, as one argument.
    pub argument: Option<Vec<u8>>,
}

/// Reads the `#!` line at the beginning of a file.
pub(crate) fn interpreter_line(head: &[u8]) -> Option<InterpreterLine> {
    let rest = head.strip_prefix(b"#!")?;
    let rest = &rest[..rest.len().min(LINE_MAX - 2)];
    let end = rest.iter().position(|&c| c == b'\n').unwrap_or(rest.len());
    let line = rest[..end].trim_ascii();
    let blank = |c: &u8| *c == b' ' || *c == b'\t';
    let cut = line.iter().position(blank).unwrap_or(line.len());
    let (name, argument) = line.split_at(cut);
    if name.is_empty() || line.contains(&0) {
        return None;
    }
    let argument = argument.trim_ascii();
    Some(InterpreterLine { interpreter: name.to_vec(), argument: (!argument.is_empty()).then(|| argument.to_vec()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_linux_does() {
        let line = |s: &str| {
            interpreter_line(s.as_bytes()).map(|l| {
                let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
                (text(l.interpreter), l.argument.map(text))
            })
        };
        assert_eq!(line("#!/bin/sh\necho"), Some(("/bin/sh".into(), None)));
        assert_eq!(line("#! /usr/bin/env  -S a b \nx"), Some(("/usr/bin/env".into(), Some("-S a b".into()))));
        assert_eq!(line("#!/bin/awk"), Some(("/bin/awk".into(), None)));
        assert_eq!(line("#!\n"), None);
        assert_eq!(line("plain"), None);
    }
}

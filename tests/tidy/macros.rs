//! Reads the calls of tracing's macros out of a source text: enough of Rust for how we write them.

/// A call such as `tracing::info_span!("name", field = value)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// `info_span`, `warn`…
    pub(crate) name: String,
    /// What stands between the parentheses, split at the commas of its own level.
    pub(crate) arguments: Vec<String>,
}

impl Call {
    /// The first argument that is text: the name of a span, the sentence of an event.
    pub(crate) fn text(&self) -> Option<&str> {
        let text = self.arguments.iter().find(|argument| argument.starts_with('"'));
        text.map(|text| text.trim_matches('"'))
    }

    /// The names of the fields.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let fields = self.arguments.iter().filter(|argument| !argument.starts_with('"'));
        let names = fields.filter_map(|field| {
            let name = field.split(['=', ':']).next()?.trim().trim_start_matches(['%', '?']);
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
            (plain && !["parent", "target", ""].contains(&name)).then_some(name)
        });
        names.collect()
    }
}

/// Every call of a macro of tracing.
pub(crate) fn calls(source: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    for (at, _) in source.match_indices("tracing::") {
        let rest = &source[at + "tracing::".len()..];
        let Some((name, body)) = rest.split_once("!(") else { continue };
        if name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            calls.push(Call { name: name.to_owned(), arguments: arguments(body) });
        }
    }
    calls
}

fn arguments(body: &str) -> Vec<String> {
    let (mut arguments, mut argument) = (Vec::new(), String::new());
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for c in body.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth > 0 => depth -= 1,
            ')' => break,
            ',' if depth == 0 => {
                arguments.push(std::mem::take(&mut argument).trim().to_owned());
                continue;
            }
            _ => {}
        }
        argument.push(c);
    }
    arguments.push(argument.trim().to_owned());
    arguments.retain(|argument| !argument.is_empty());
    arguments
}

#[test]
fn calls_are_read_with_their_fields() {
    let source = r#"
        let span = tracing::info_span!(parent: None, "a.b", queue_id = %x.f(1, 2), limit, %peer, c.d = Empty,);
        tracing::warn!(error = %f("), ("), "it \"broke\", {}", y);
    "#;
    let calls = calls(source);
    assert_eq!(calls[0].text(), Some("a.b"));
    assert_eq!(calls[0].fields(), ["queue_id", "limit", "peer", "c.d"]);
    assert_eq!((calls[1].name.as_str(), calls.len()), ("warn", 2));
    assert_eq!(calls[1].text(), Some(r#"it \"broke\", {}"#));
}

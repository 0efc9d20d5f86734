//! Reads Rust sources just well enough to hold them to rules: comments and literals blanked, test code cut out, paths
//! listed with their groups expanded, functions measured.

/// The source with comments, strings and character literals turned into spaces. Lines keep their numbers.
pub fn blank(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < bytes.len() {
        let inside_word = at > 0 && is_word(bytes[at - 1]);
        let len = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => source[at..].find('\n').unwrap_or(bytes.len() - at),
            b'/' if bytes[at..].starts_with(b"/*") => block_comment(&bytes[at..]),
            b'"' => quoted(&bytes[at..], b'"'),
            b'r' | b'b' | b'c' if !inside_word => prefixed_literal(&bytes[at..]),
            b'\'' => char_literal(&source[at..]),
            _ => 0,
        };
        if len == 0 {
            let letter = source[at..].chars().next().expect("at is a boundary");
            out.push(letter);
            at += letter.len_utf8();
        } else {
            out.extend(source[at..at + len].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            at += len;
        }
    }
    out
}

fn block_comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if bytes[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += 1;
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// `r"…"`, `r#"…"#`, `b"…"`, `b'…'`, `br"…"`, `c"…"`; 0 for an ordinary word.
fn prefixed_literal(bytes: &[u8]) -> usize {
    let letters = bytes.iter().take_while(|b| matches!(b, b'r' | b'b' | b'c')).count();
    let hashes = bytes[letters..].iter().take_while(|&&b| b == b'#').count();
    let (start, raw) = (letters + hashes, bytes[..letters].contains(&b'r'));
    match bytes.get(start) {
        Some(b'"') if raw => {
            let end: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
            let found = bytes[start + 1..].windows(end.len()).position(|window| window == end);
            found.map_or(bytes.len(), |found| start + 1 + found + end.len())
        }
        Some(&quote @ (b'"' | b'\'')) if letters == 1 && hashes == 0 => 1 + quoted(&bytes[1..], quote),
        _ => 0,
    }
}

/// 0 for a lifetime.
fn char_literal(text: &str) -> usize {
    let mut letters = text.char_indices().skip(1);
    match (letters.next(), letters.next()) {
        (Some((_, '\\')), _) => quoted(text.as_bytes(), b'\''),
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 0,
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A word or a piece of punctuation with the line where it stands. `::` is one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub text: &'a str,
    pub line: usize,
}

/// The tokens of a [`blank`]ed source.
pub fn tokens(blanked: &str) -> Vec<Token<'_>> {
    let bytes = blanked.as_bytes();
    let (mut out, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let len = match bytes[at] {
            b'\n' => {
                line += 1;
                at += 1;
                continue;
            }
            byte if byte.is_ascii_whitespace() || !byte.is_ascii() => {
                at += 1;
                continue;
            }
            byte if is_word(byte) => bytes[at..].iter().take_while(|&&b| is_word(b)).count(),
            b':' if bytes[at..].starts_with(b"::") => 2,
            _ => 1,
        };
        out.push(Token { text: &blanked[at..at + len], line });
        at += len;
    }
    out
}

/// The tokens that are not test code: items under `#[cfg(test)]` or `#[cfg(all(test, …))]` are left out.
pub fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let end = attribute_end(tokens, at);
        let text: String = tokens[at..end].iter().map(|token| token.text).collect();
        if text.starts_with("#[cfg(test)") || text.starts_with("#[cfg(all(test,") {
            at = item_end(tokens, end);
        } else {
            let end = end.max(at + 1);
            out.extend_from_slice(&tokens[at..end]);
            at = end;
        }
    }
    out
}

/// Just past the attribute that starts here; `at` itself if none does.
fn attribute_end(tokens: &[Token], at: usize) -> usize {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
    if is(at, "#") && is(at + 1, "[") { closing(tokens, at + 1) + 1 } else { at }
}

fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while attribute_end(tokens, at) > at {
        at = attribute_end(tokens, at);
    }
    while at < tokens.len() {
        match tokens[at].text {
            ";" => return at + 1,
            "{" => return (closing(tokens, at) + 1).min(tokens.len()),
            "(" | "[" => at = closing(tokens, at) + 1,
            _ => at += 1,
        }
    }
    tokens.len()
}

/// The place of the bracket that closes the one here.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_i32;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len().saturating_sub(1)
}

/// A path of two or more segments, or a `use` of one, as it would be written in the crate's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathAt {
    pub segments: Vec<String>,
    pub line: usize,
}

/// All paths in use declarations and elsewhere. `self` and `super` are resolved from `module`, the file's own path in
/// its crate, and from the modules written out inside the file; groups are expanded; a glob ends in `*`.
pub fn paths(tokens: &[Token], module: &[String]) -> Vec<PathAt> {
    let mut out = Vec::new();
    let mut here = module.to_vec();
    let mut open_modules: Vec<i32> = Vec::new();
    let (mut at, mut depth) = (0, 0_i32);
    while at < tokens.len() {
        let text = tokens[at].text;
        match text {
            "mod" if tokens.get(at + 2).is_some_and(|token| token.text == "{") => {
                here.push(tokens[at + 1].text.to_string());
                open_modules.push(depth);
                at += 2;
                continue;
            }
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if open_modules.last() == Some(&depth) {
                    open_modules.pop();
                    here.pop();
                }
            }
            _ => {}
        }
        let in_use = at > 0 && tokens[at - 1].text == "use";
        let starts = text.starts_with(|c: char| c.is_alphabetic() || c == '_') || (in_use && text == "{");
        let leading = |i: usize| tokens.get(i).is_some_and(|token| token.text == "::");
        let field = at > 0 && tokens[at - 1].text == ".";
        if starts && !field && (in_use || leading(at + 1)) && text != "use" {
            let mut found = Vec::new();
            at = tree(tokens, at, &mut Vec::new(), &mut found);
            out.extend(found.into_iter().map(|path| resolve(path, &here)));
        } else {
            at += 1;
        }
    }
    out
}

/// Reads one path with its groups and returns the place behind it.
fn tree(tokens: &[Token], mut at: usize, prefix: &mut Vec<String>, out: &mut Vec<PathAt>) -> usize {
    let depth = prefix.len();
    let line = tokens[at.min(tokens.len() - 1)].line;
    let mut whole = true;
    while let Some(token) = tokens.get(at) {
        match token.text {
            "{" => {
                at += 1;
                while at < tokens.len() && tokens[at].text != "}" {
                    at = if tokens[at].text == "," { at + 1 } else { tree(tokens, at, prefix, out) };
                }
                (at, whole) = (at + 1, false);
                break;
            }
            "*" | "self" if prefix.len() > depth || depth > 0 => {
                if token.text == "*" {
                    prefix.push("*".into());
                }
                at += 1;
                break;
            }
            word if word.starts_with(|c: char| c.is_alphanumeric() || c == '_') => prefix.push(word.into()),
            // Something that is no path: step over it, so that a group always ends.
            _ => {
                (at, whole) = (at + 1, prefix.len() > depth);
                break;
            }
        }
        at += 1;
        let joined = tokens.get(at).is_some_and(|token| token.text == "::");
        let goes_on =
            |token: &Token| token.text == "{" || token.text == "*" || is_word(token.text.as_bytes()[0]);
        if joined && tokens.get(at + 1).is_some_and(goes_on) {
            at += 1;
        } else {
            break;
        }
    }
    if tokens.get(at).is_some_and(|token| token.text == "as") {
        at += 2;
    }
    if whole {
        out.push(PathAt { segments: prefix.clone(), line });
    }
    prefix.truncate(depth);
    at
}

fn resolve(path: PathAt, module: &[String]) -> PathAt {
    let mut base: Option<Vec<String>> = None;
    let mut rest = path.segments.as_slice();
    while let Some(first) = rest.first() {
        match first.as_str() {
            "self" if base.is_none() => base = Some(module.to_vec()),
            "super" => {
                base.get_or_insert_with(|| module.to_vec()).pop();
            }
            _ => break,
        }
        rest = &rest[1..];
    }
    let segments = match base {
        Some(base) => std::iter::once("crate".to_string()).chain(base).chain(rest.iter().cloned()).collect(),
        None => path.segments,
    };
    PathAt { segments, line: path.line }
}

/// A function and the lines from its `fn` to its last brace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

/// All functions with a body.
pub fn functions(tokens: &[Token]) -> Vec<Function> {
    let mut out = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        if pair[0].text == "fn" && is_word(pair[1].text.as_bytes()[0]) {
            let end = item_end(tokens, at);
            if tokens[end - 1].text == "}" {
                let lines = tokens[end - 1].line - pair[0].line + 1;
                out.push(Function { name: pair[1].text.into(), line: pair[0].line, lines });
            }
        }
    }
    out
}

//! Paths in token streams: what a macro call, a macro definition or an attribute holds is not
//! parsed, so paths are recognised by their first word.

use proc_macro2::{Delimiter, Literal, TokenStream, TokenTree};

/// The crate's own name, as its tests and macros may write it.
pub const CRATE: &str = "sutazai_core";

/// A path in a token stream.
#[derive(Debug)]
pub struct Found {
    /// Modules that are opened within the stream around the path.
    pub within: Vec<String>,
    /// Its segments; the last is `*` for a glob.
    pub path: Vec<String>,
    /// The line of its first segment.
    pub line: usize,
}

/// All paths in `tokens` that begin with `crate`, `super`, `self` or the crate's name.
pub fn paths(tokens: &TokenStream) -> Vec<Found> {
    let mut scan = Scan::default();
    scan.stream(tokens.clone(), false);
    scan.found
}

/// The same for the tokens of an attribute, where strings count as well.
pub fn paths_in_attribute(tokens: &TokenStream) -> Vec<Found> {
    let mut scan = Scan::default();
    scan.stream(tokens.clone(), true);
    scan.found
}

/// The paths in a string that stands in an attribute.
pub fn paths_in_text(text: &str, line: usize) -> Vec<Found> {
    let mut found = text.parse::<TokenStream>().map(|t| paths(&t)).unwrap_or_default();
    for one in &mut found {
        one.line = line;
    }
    found
}

/// An identifier without the `r#` of a raw one.
pub fn plain(ident: &proc_macro2::Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map(str::to_owned).unwrap_or(text)
}

#[derive(Default)]
struct Scan {
    within: Vec<String>,
    found: Vec<Found>,
}

impl Scan {
    fn stream(&mut self, stream: TokenStream, strings: bool) {
        let tokens: Vec<_> = stream.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at = self.token(&tokens, at, strings);
        }
    }

    /// Looks at the token at `at`; the answer is where to go on.
    fn token(&mut self, tokens: &[TokenTree], at: usize, strings: bool) -> usize {
        let before = at.checked_sub(1).and_then(|i| tokens.get(i));
        match &tokens[at] {
            TokenTree::Ident(ident) => {
                let word = plain(ident);
                if word == "mod" {
                    return self.module(tokens, at);
                }
                let starts = matches!(&*word, "crate" | "super" | "self" | CRATE)
                    && (is_path_separator(tokens, at + 1) || is_word(before, "use"));
                if starts { self.path(tokens, at, Vec::new()) } else { at + 1 }
            }
            TokenTree::Group(group) => {
                let inside = group.stream();
                let first = inside.clone().into_iter().next();
                let is_attribute = group.delimiter() == Delimiter::Bracket
                    && (is_punct(before, '#')
                        || is_punct(before, '!')
                            && is_punct(at.checked_sub(2).and_then(|i| tokens.get(i)), '#'));
                let is_visibility = group.delimiter() == Delimiter::Parenthesis
                    && is_word(before, "pub")
                    && is_word(first.as_ref(), "in");
                let is_documentation = is_attribute && is_word(first.as_ref(), "doc");
                if !is_visibility && !is_documentation {
                    self.stream(inside, strings || is_attribute);
                }
                at + 1
            }
            TokenTree::Literal(literal) => {
                if strings && let Some(text) = text_of(literal) {
                    self.found.extend(paths_in_text(&text, literal.span().start().line));
                }
                at + 1
            }
            TokenTree::Punct(_) => at + 1,
        }
    }

    /// `mod name { … }`: what is inside is one module further down.
    fn module(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        match (tokens.get(at + 1), tokens.get(at + 2)) {
            (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body)))
                if body.delimiter() == Delimiter::Brace =>
            {
                self.within.push(plain(name));
                self.stream(body.stream(), false);
                self.within.pop();
                at + 3
            }
            _ => at + 1,
        }
    }

    /// A path from the word at `at` on, behind `prefix`; groups are taken apart.
    fn path(&mut self, tokens: &[TokenTree], mut at: usize, mut path: Vec<String>) -> usize {
        let line = tokens[at].span().start().line;
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(ident)) => path.push(plain(ident)),
                Some(TokenTree::Punct(star)) if star.as_char() == '*' => path.push("*".to_owned()),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    let inside: Vec<_> = group.stream().into_iter().collect();
                    for branch in inside.split(|token| is_punct(Some(token), ',')) {
                        if !branch.is_empty() {
                            self.path(branch, 0, path.clone());
                        }
                    }
                    return at + 1;
                }
                _ => break,
            }
            at += 1;
            if !is_path_separator(tokens, at) {
                break;
            }
            at += 2;
        }
        self.found.push(Found { within: self.within.clone(), path, line });
        at
    }
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == character)
}

fn is_word(token: Option<&TokenTree>, word: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == word)
}

fn text_of(literal: &Literal) -> Option<String> {
    match syn::Lit::new(literal.clone()) {
        syn::Lit::Str(text) => Some(text.value()),
        _ => None,
    }
}

//! Every path of one parsed file, with the module it stands in.

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use crate::tokens::{self, Found, plain};

/// A path, as it stands in the source.
#[derive(Debug)]
pub struct Reference {
    /// The module it stands in, from the crate root down.
    pub module: Vec<String>,
    /// Its segments; the last is `*` for a glob.
    pub path: Vec<String>,
    /// The name that a `use` gives it in `module`, when it stands outside any function.
    pub binds: Option<String>,
    /// Where, from 1.
    pub line: usize,
}

/// `mod name;`: a module in another file.
#[derive(Debug)]
pub struct OtherFile {
    /// Inline modules of this file around it.
    pub inline: Vec<String>,
    /// Its name.
    pub name: String,
    /// What `#[path]` says; several under `cfg_attr`.
    pub paths: Vec<String>,
    /// Where, from 1.
    pub line: usize,
}

/// What a file holds that matters here.
#[derive(Debug, Default)]
pub struct Contents {
    /// Paths.
    pub references: Vec<Reference>,
    /// Modules in other files.
    pub files: Vec<OtherFile>,
    /// Inline modules at the file's top level.
    pub inline: Vec<(String, usize)>,
    /// `#[macro_export]` macros, which stand at the crate root wherever they are written.
    pub macros: Vec<String>,
    /// What hides edges from this analysis.
    pub opaque: Vec<(usize, String)>,
}

/// Reads a file of the module `module`.
pub fn contents(file: &syn::File, module: &[String]) -> Contents {
    let mut reader =
        Reader { module: module.to_vec(), depth: 0, base: module.len(), out: Contents::default() };
    reader.visit_file(file);
    reader.out
}

struct Reader {
    module: Vec<String>,
    /// Functions and other blocks around the current place.
    depth: usize,
    /// How much of `module` is the file's own.
    base: usize,
    out: Contents,
}

impl Reader {
    fn refer(&mut self, path: Vec<String>, binds: Option<String>, line: usize) {
        self.out.references.push(Reference { module: self.module.clone(), path, binds, line });
    }

    fn take(&mut self, found: Vec<Found>) {
        for Found { within, path, line } in found {
            let module = self.module.iter().cloned().chain(within).collect();
            self.out.references.push(Reference { module, path, binds: None, line });
        }
    }

    fn tree(&mut self, tree: &syn::UseTree, prefix: &[String]) {
        let with = |ident: &syn::Ident| {
            let mut path = prefix.to_vec();
            // `a::{self}` is `a`.
            if ident != "self" || path.is_empty() {
                path.push(plain(ident));
            }
            path
        };
        let line = tree.span().start().line;
        match tree {
            syn::UseTree::Path(branch) => self.tree(&branch.tree, &with(&branch.ident)),
            syn::UseTree::Group(group) => {
                for branch in &group.items {
                    self.tree(branch, prefix);
                }
            }
            syn::UseTree::Name(leaf) => {
                let path = with(&leaf.ident);
                let name = path.last().cloned();
                self.bind(path, name, line);
            }
            syn::UseTree::Rename(leaf) => {
                self.bind(with(&leaf.ident), Some(leaf.rename.to_string()), line);
            }
            syn::UseTree::Glob(_) => {
                let path = prefix.iter().cloned().chain(["*".to_owned()]).collect();
                self.bind(path, Some("*".to_owned()), line);
            }
        }
    }

    fn bind(&mut self, path: Vec<String>, name: Option<String>, line: usize) {
        let name = name.filter(|_| self.depth == 0);
        self.refer(path, name, line);
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let name = plain(&item.ident);
        let line = item.ident.span().start().line;
        for attribute in &item.attrs {
            self.visit_attribute(attribute);
            if attribute.path().is_ident("macro_use") {
                let what = format!("`#[macro_use] mod {name}`: import its macros by path");
                self.out.opaque.push((line, what));
            }
        }
        if self.module.len() == self.base && self.depth == 0 && item.content.is_some() {
            self.out.inline.push((name.clone(), line));
        }
        match &item.content {
            Some((_, items)) => {
                self.module.push(name);
                for item in items {
                    self.visit_item(item);
                }
                self.module.pop();
            }
            None => self.out.files.push(OtherFile {
                inline: self.module[self.base..].to_vec(),
                name,
                paths: item.attrs.iter().flat_map(path_attributes).collect(),
                line,
            }),
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        for attribute in &item.attrs {
            self.visit_attribute(attribute);
        }
        self.tree(&item.tree, &[]);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let alias = item.rename.as_ref().map(|(_, name)| name.to_string());
        if item.ident == "self" && alias.as_deref() != Some(tokens::CRATE) {
            let line = item.span().start().line;
            self.out.opaque.push((line, "a second name for the crate: write `crate`".to_owned()));
        }
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        if let Some(name) = &item.ident
            && item.attrs.iter().any(|a| a.path().is_ident("macro_export"))
        {
            self.out.macros.push(plain(name));
        }
        visit::visit_item_macro(self, item);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if call.path.segments.last().is_some_and(|s| s.ident == "include") {
            let line = call.span().start().line;
            self.out.opaque.push((line, "`include!`: make it a module".to_owned()));
        }
        visit::visit_macro(self, call);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        // A single segment is a name in scope; whatever brought it there has been looked at.
        if path.segments.len() > 1 {
            let segments = path.segments.iter().map(|s| plain(&s.ident)).collect();
            self.refer(segments, None, path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.depth += 1;
        visit::visit_block(self, block);
        self.depth -= 1;
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        match &attribute.meta {
            syn::Meta::Path(path) => self.visit_path(path),
            syn::Meta::List(list) => {
                self.visit_path(&list.path);
                self.take(tokens::paths_in_attribute(&list.tokens));
            }
            syn::Meta::NameValue(pair) if pair.path.is_ident("doc") => {}
            syn::Meta::NameValue(pair) => match &pair.value {
                syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => {
                    self.take(tokens::paths_in_text(&text.value(), text.span().start().line));
                }
                other => self.visit_expr(other),
            },
        }
    }

    /// Macro calls and definitions, and syntax that syn hands on unparsed.
    fn visit_token_stream(&mut self, stream: &'ast proc_macro2::TokenStream) {
        self.take(tokens::paths(stream));
    }

    /// `pub(in crate::…)` restricts; it imports nothing.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}
}

/// The files that `#[path = "…"]` or `#[cfg_attr(…, path = "…")]` names.
fn path_attributes(attribute: &syn::Attribute) -> Vec<String> {
    let text = |value: &syn::Expr| match value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    };
    match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("path") => {
            text(&pair.value).into_iter().collect()
        }
        syn::Meta::List(list) if list.path.is_ident("cfg_attr") => {
            let parser = syn::punctuated::Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated;
            let parts = list.parse_args_with(parser).unwrap_or_default();
            parts
                .iter()
                .filter_map(|part| match part {
                    syn::Meta::NameValue(pair) if pair.path.is_ident("path") => text(&pair.value),
                    _ => None,
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

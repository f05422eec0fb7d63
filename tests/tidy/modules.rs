//! The crate as a graph of its files: which file names what another defines. A name that comes by a re-export counts for the
//! file that defines it, so a circle can't hide behind a `mod.rs`.

#![expect(clippy::indexing_slicing, reason = "modules and files are known by their places in lists that only grow")]

use std::collections::{HashMap, HashSet};

use syn::{
    Attribute, Ident, Item, ItemImpl, ItemMod, ItemUse, Meta, Type, UseTree, Visibility,
    ext::IdentExt,
    spanned::Spanned,
    visit::{self, Visit},
};

use crate::{
    graph::{Edge, Graph},
    source::{Kind, Source, Token, flatten, paths},
};

/// Re-exports of re-exports that are followed. The code has at most three in a row; globs could name each other.
const MAX_STEPS: usize = 16;

/// A module: a file, or a block within one.
#[derive(Default)]
struct Module {
    file: usize,
    parent: Option<usize>,
    children: HashMap<String, usize>,
    items: HashSet<String>,
    /// Words in macros that stand among the items, any of which may become one.
    words: HashSet<String>,
    imports: Vec<Import>,
    uses: Vec<(usize, Vec<String>)>,
    /// Types that the module implements methods for, beyond those of a trait.
    extended: Vec<(usize, Vec<String>)>,
}

struct Import {
    line: usize,
    /// Name that it has here; none where all of a module are imported.
    name: Option<String>,
    path: Vec<String>,
    is_export: bool,
}

enum Found {
    Module(usize),
    /// An item that a file defines.
    Item(usize),
}

impl Graph {
    /// Reads the files of a library, `lib.rs` among them. Unit tests are left out, for they may use anything.
    pub fn new(sources: &[Source]) -> Self {
        let modules = Modules::new(sources);
        let mut graph = Self::default();
        for module in 0..modules.0.len() {
            modules.connect(module, sources, &mut graph);
        }
        graph
    }
}

struct Modules(Vec<Module>);

impl Modules {
    fn new(sources: &[Source]) -> Self {
        let mut modules = Self(Vec::new());
        let mut by_path: HashMap<Vec<String>, usize> = HashMap::new();
        // Parents before children: `a.rs` and `a/mod.rs` before `a/b.rs`.
        let mut files: Vec<_> =
            sources.iter().enumerate().map(|(file, source)| (module_path(&source.path), file)).collect();
        files.sort();
        for (path, file) in files {
            let parent = path.split_last().and_then(|(_, above)| by_path.get(above)).copied();
            let module = modules.0.len();
            modules.0.push(Module { file, parent, ..Module::default() });
            if let (Some(parent), Some(name)) = (parent, path.last()) {
                modules.0[parent].children.insert(name.clone(), module);
            }
            by_path.insert(path, module);
            let parsed = sources[file].parsed();
            modules.read(module, parsed.items);
        }
        modules
    }

    /// Notes what the items of a module define and name.
    fn read(&mut self, module: usize, items: Vec<Item>) {
        for item in items {
            if is_test(&item) {
                continue;
            }
            if let Some(name) = name_of(&item) {
                self.0[module].items.insert(name);
            }
            match item {
                Item::Mod(ItemMod { ident, content: Some((_, items)), .. }) => {
                    let inner = self.0.len();
                    let file = self.0[module].file;
                    self.0.push(Module { file, parent: Some(module), ..Module::default() });
                    self.0[module].children.insert(ident.to_string(), inner);
                    self.read(inner, items);
                }
                Item::Mod(_) => {}
                item => Reader(&mut self.0[module]).visit_item(&item),
            }
        }
    }

    /// Adds the files that a module needs.
    fn connect(&self, module: usize, sources: &[Source], graph: &mut Graph) {
        let this = &self.0[module];
        let path = |file: usize| sources[file].path.clone();
        // A re-export is no need of the module that has it.
        let imports = this.imports.iter().filter(|import| !import.is_export).map(|import| (import.line, &import.path));
        for (line, name) in imports.chain(this.uses.iter().map(|(line, path)| (*line, path))) {
            match self.resolve(module, name, 0) {
                Some(Found::Item(file)) if file != this.file => {
                    let (from, to) = (path(this.file), path(file));
                    graph.edges.insert(Edge { file: from.clone(), from, to, line, name: name.join("::") });
                }
                None if matches!(name[0].as_str(), "crate" | "super" | "self") => {
                    graph.unresolved.push((path(this.file), line, name.join("::")));
                }
                // Of the same file or another crate, or a variable.
                Some(_) | None => {}
            }
        }
        for (line, name) in &this.extended {
            // Whoever has the type calls the methods without naming the file, so it is the type that needs the file.
            if let Some(Found::Item(file)) = self.resolve(module, name, 0)
                && file != this.file
            {
                let (from, to) = (path(file), path(this.file));
                graph.edges.insert(Edge {
                    file: to.clone(),
                    from,
                    to,
                    line: *line,
                    name: format!("impl {}", name.join("::")),
                });
            }
        }
    }

    fn resolve(&self, module: usize, path: &[String], steps: usize) -> Option<Found> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => Found::Module(0),
            "self" => Found::Module(module),
            "super" => Found::Module(self.0[module].parent?),
            name => self.find(module, name, rest.is_empty(), steps)?,
        };
        rest.iter().enumerate().try_fold(start, |found, (i, name)| match found {
            Found::Module(module) if name == "super" => Some(Found::Module(self.0[module].parent?)),
            Found::Module(module) => self.find(module, name, i + 1 == rest.len(), steps),
            // A variant, or what belongs to a type.
            item @ Found::Item(_) => Some(item),
        })
    }

    fn find(&self, module: usize, name: &str, is_last: bool, steps: usize) -> Option<Found> {
        if steps == MAX_STEPS {
            return None;
        }
        let this = &self.0[module];
        // A module and a function may have one name.
        if is_last && this.items.contains(name) {
            return Some(Found::Item(this.file));
        }
        if let Some(child) = this.children.get(name) {
            return Some(Found::Module(*child));
        }
        if this.items.contains(name) {
            return Some(Found::Item(this.file));
        }
        let mut named = this.imports.iter().filter(|import| import.name.as_deref() == Some(name));
        let found = named.find_map(|import| self.resolve(module, &import.path, steps + 1));
        if found.is_some() {
            return found;
        }
        let mut globs = this.imports.iter().filter(|import| import.name.is_none());
        let found = globs.find_map(|import| match self.resolve(module, &import.path, steps + 1)? {
            Found::Module(other) if other != module => self.find(other, name, is_last, steps + 1),
            // The variants of an enum.
            _ => None,
        });
        found.or_else(|| this.words.contains(name).then_some(Found::Item(this.file)))
    }
}

/// Collects the paths of an item.
struct Reader<'a>(&'a mut Module);

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let is_export = !matches!(item.vis, Visibility::Inherited);
        let line = item.span().start().line;
        imports(&item.tree, &mut Vec::new(), &mut |name, path, line_of| {
            self.0.imports.push(Import { line: line_of.unwrap_or(line), name, path, is_export });
        });
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        if item.trait_.is_none()
            && let Type::Path(of) = &*item.self_ty
        {
            self.0.extended.push((item.span().start().line, segments(&of.path)));
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.uses.push((path.span().start().line, segments(path)));
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let paths = paths(&tokens_of(call)).into_iter();
        self.0.uses.extend(paths.map(|(line, path)| (line, path.split("::").map(str::to_owned).collect())));
        visit::visit_macro(self, call);
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        if item.ident.is_none() {
            self.0.words.extend(tokens_of(&item.mac).into_iter().filter_map(|token| match token.kind {
                Kind::Word(word) => Some(word),
                _ => None,
            }));
        }
        // What a macro stands for is resolved where it is used.
        if item.ident.is_none() {
            visit::visit_item_macro(self, item);
        }
    }
}

fn segments(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.unraw().to_string()).collect()
}

/// Calls `each` with the name and the path of every import in a tree.
fn imports(
    tree: &UseTree,
    before: &mut Vec<String>,
    each: &mut impl FnMut(Option<String>, Vec<String>, Option<usize>),
) {
    let line = |ident: &Ident| Some(ident.span().start().line);
    let join = |before: &[String], ident: &Ident| {
        let mut path = before.to_vec();
        // `self` in braces is the module before them.
        if ident != "self" || path.is_empty() {
            path.push(ident.unraw().to_string());
        }
        path
    };
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.unraw().to_string());
            imports(&path.tree, before, each);
            before.pop();
        }
        UseTree::Name(name) => {
            let path = join(before, &name.ident);
            each(path.last().cloned(), path, line(&name.ident));
        }
        UseTree::Rename(rename) => {
            each(Some(rename.rename.to_string()), join(before, &rename.ident), line(&rename.ident));
        }
        UseTree::Glob(_) => each(None, before.clone(), None),
        UseTree::Group(group) => group.items.iter().for_each(|tree| imports(tree, before, each)),
    }
}

/// Returns the tokens of a macro, which are no grammar to the parser.
fn tokens_of(call: &syn::Macro) -> Vec<Token> {
    let mut tokens = Vec::new();
    flatten(call.tokens.clone(), false, &mut tokens);
    tokens
}

/// Returns the path of a file's module: none for `lib.rs`.
fn module_path(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').filter(|name| *name != "lib").map(str::to_owned).collect()
}

fn is_test(item: &Item) -> bool {
    let attributes = match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(ident.to_string())
}

#[test]
fn a_name_is_followed_to_the_file_that_defines_it() {
    let files = [
        ("lib.rs", "pub mod m;"),
        ("m/mod.rs", "mod a;\nmod b;\nmod c;\npub use a::{A as Renamed, f};\npub use b::*;"),
        ("m/a.rs", "use super::B;\npub struct A(B);\npub fn f() {}\n#[cfg(test)]\nmod tests { use crate::m::c::C; }"),
        ("m/b.rs", "pub struct B;\nimpl B { fn g() { log!(\"{}\", crate::m::f()) } }"),
        ("m/c.rs", "use super::Renamed;\nimpl Renamed { fn h() {} }\nuse crate::m::nowhere;"),
    ];
    let graph = Graph::new(&files.map(|(path, text)| Source::new(path, text)));
    let edges: Vec<_> = graph.edges.iter().map(|edge| format!("{} {} {}", edge.from, edge.to, edge.name)).collect();
    let expected = [
        "m/a.rs m/b.rs super::B",
        "m/a.rs m/b.rs B",
        "m/a.rs m/c.rs impl Renamed",
        "m/b.rs m/a.rs crate::m::f",
        "m/c.rs m/a.rs super::Renamed",
        "m/c.rs m/a.rs Renamed",
    ];
    assert_eq!(edges, expected);
    assert_eq!(graph.unresolved, [("m/c.rs".to_owned(), 3, "crate::m::nowhere".to_owned())]);
    let circles = graph.circles(Some);
    assert_eq!(circles.iter().map(|circle| circle.units.len()).collect::<Vec<_>>(), [3], "a, b and c");
    assert!(graph.circles(|file| Some(file).filter(|file| *file != "m/a.rs")).is_empty(), "without a");
}

//! All mutants of a file in its text, each behind a switch.

use crate::mutant::{Genre, Mutant};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

pub struct Woven {
    pub text: String,
    /// Where the code of mutants is in the text.
    pub pieces: Vec<(Range<usize>, usize)>,
}

enum Part {
    Plain(String),
    /// What a mutant does, and its number.
    Mutated(usize, String),
}

/// What stands there is put between the two.
struct Site {
    range: Range<usize>,
    before: Vec<Part>,
    after: &'static str,
}

struct Weaver<'a> {
    text: &'a str,
    mutants: &'a [Mutant],
    /// Numbers of mutants by where they begin.
    at: HashMap<(Genre, usize), Vec<usize>>,
    sites: Vec<Site>,
}

/// The numbers are those of `mutants`, from 1. Mutants for which the text has no place are left out.
pub fn weave(text: &str, mutants: &[Mutant], numbers: impl Iterator<Item = usize>) -> Woven {
    let file = syn::parse_file(text).expect("a file that cargo-mutants can read");
    let mut at: HashMap<_, Vec<usize>> = HashMap::new();
    for number in numbers {
        let mutant = &mutants[number - 1];
        at.entry((mutant.genre, mutant.range(text).start)).or_default().push(number);
    }
    let mut weaver = Weaver { text, mutants, at, sites: Vec::new() };
    weaver.visit_file(&file);
    let mut sites = weaver.sites;
    // Whatever encloses another one comes before it.
    sites.sort_by_key(|site| (site.range.start, Reverse(site.range.end)));
    let mut woven = Woven { text: String::new(), pieces: Vec::new() };
    let end = woven.write(text, 0..text.len(), &sites);
    assert_eq!(end, sites.len(), "sites cross each other");
    woven
}

impl Woven {
    /// Returns how many of the sites are within the range.
    fn write(&mut self, text: &str, range: Range<usize>, sites: &[Site]) -> usize {
        let (mut at, mut done) = (range.start, 0);
        while let Some(site) = sites.get(done).filter(|site| site.range.end <= range.end) {
            self.text += &text[at..site.range.start];
            for part in &site.before {
                let start = self.text.len();
                match part {
                    Part::Plain(text) => self.text += text,
                    Part::Mutated(number, text) => {
                        self.text += text;
                        self.pieces.push((start..self.text.len(), *number));
                    }
                }
            }
            done += 1;
            done += self.write(text, site.range.clone(), &sites[done..]);
            self.text += site.after;
            at = site.range.end;
        }
        self.text += &text[at..range.end];
        done
    }
}

fn range(spanned: &impl Spanned) -> Range<usize> {
    spanned.span().byte_range()
}

fn on(number: usize) -> String {
    format!("crate::switch::on({number})")
}

impl Weaver<'_> {
    fn take(&mut self, genre: Genre, start: usize) -> Vec<usize> {
        self.at.remove(&(genre, start)).unwrap_or_default()
    }

    fn written(&self, spanned: &impl Spanned) -> &str {
        &self.text[range(spanned)]
    }

    /// An expression, or what a mutant says instead. `also` holds in any case.
    fn choose(&mut self, range: Range<usize>, also: Vec<Part>, choices: Vec<(usize, String)>) {
        if also.is_empty() && choices.is_empty() {
            return;
        }
        let mut before = vec![Part::Plain("(".into())];
        before.extend(also);
        for (number, choice) in choices {
            before.push(Part::Mutated(number, format!("if {} {{ {choice} }} else ", on(number))));
        }
        before.push(Part::Plain("{ ".into()));
        self.sites.push(Site { range, before, after: " })" });
    }

    /// A function within has taken its own ones already.
    fn function(&mut self, block: &syn::Block) {
        let inside = range(block);
        let starts = self.at.keys().filter(|(genre, at)| *genre == Genre::FnValue && inside.contains(at));
        let starts: Vec<usize> = starts.map(|(_, at)| *at).collect();
        let numbers: Vec<usize> = starts.into_iter().flat_map(|at| self.take(Genre::FnValue, at)).collect();
        let returned = |number: usize| {
            let value = &self.mutants[number - 1].replacement;
            Part::Mutated(number, format!(" if {} {{ return {value}; }} ", on(number)))
        };
        let before = numbers.into_iter().map(returned).collect();
        let start = inside.start + 1;
        self.sites.push(Site { range: start..start, before, after: "" });
    }
}

fn has_let(expr: &syn::Expr) -> bool {
    match expr {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

/// What is known when the code is built is left alone: there is no switch then.
impl<'ast> Visit<'ast> for Weaver<'_> {
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}

    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}

    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}

    fn visit_type(&mut self, _: &'ast syn::Type) {}

    fn visit_pat(&mut self, _: &'ast syn::Pat) {}

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if item.sig.constness.is_none() {
            visit::visit_item_fn(self, item);
            self.function(&item.block);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if item.sig.constness.is_none() {
            visit::visit_impl_item_fn(self, item);
            self.function(&item.block);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        visit::visit_trait_item_fn(self, item);
        if let Some(block) = &item.default {
            self.function(block);
        }
    }

    fn visit_expr_binary(&mut self, expr: &'ast syn::ExprBinary) {
        if !has_let(&expr.left) && !has_let(&expr.right) {
            let (left, right) = (self.written(&expr.left).to_string(), self.written(&expr.right).to_string());
            let numbers = self.take(Genre::BinaryOperator, range(&expr.op).start);
            let mutated = |number: usize| {
                (number, format!("({left}) {} ({right})", self.mutants[number - 1].replacement))
            };
            let choices = numbers.into_iter().map(mutated).collect();
            self.choose(range(expr), Vec::new(), choices);
        }
        visit::visit_expr_binary(self, expr);
    }

    fn visit_expr_unary(&mut self, expr: &'ast syn::ExprUnary) {
        let numbers = self.take(Genre::UnaryOperator, range(&expr.op).start);
        let bare = self.written(&expr.expr).to_string();
        let choices = numbers.into_iter().map(|number| (number, bare.clone())).collect();
        self.choose(range(expr), Vec::new(), choices);
        visit::visit_expr_unary(self, expr);
    }

    fn visit_expr_match(&mut self, expr: &'ast syn::ExprMatch) {
        let is_rest = |arm: &syn::Arm| matches!(arm.pat, syn::Pat::Wild(_)) && arm.guard.is_none();
        // Without it an arm behind a switch does not cover what it covers.
        if !expr.arms.iter().any(is_rest) {
            expr.arms.iter().for_each(|arm| drop(self.take(Genre::MatchArm, range(arm).start)));
        }
        visit::visit_expr_match(self, expr);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let deleted = self.take(Genre::MatchArm, range(arm).start);
        let off = |number: &usize| Part::Mutated(*number, format!("!{} && ", on(*number)));
        let mut off: Vec<Part> = deleted.iter().map(off).collect();
        if let Some((_, guard)) = &arm.guard {
            let numbers = self.take(Genre::MatchArmGuard, range(guard.as_ref()).start);
            let replaced = |number: usize| (number, self.mutants[number - 1].replacement.clone());
            let choices = numbers.into_iter().map(replaced).collect();
            self.choose(range(guard.as_ref()), off, choices);
        } else if !off.is_empty() {
            let end = range(&arm.pat).end;
            off.insert(0, Part::Plain(" if ".into()));
            off.push(Part::Plain("true".into()));
            self.sites.push(Site { range: end..end, before: off, after: "" });
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, expr: &'ast syn::ExprStruct) {
        for field in &expr.fields {
            let numbers = self.take(Genre::StructField, range(field).start);
            let Some(rest) = expr.rest.as_ref().filter(|_| !numbers.is_empty()) else { continue };
            let name = self.written(&field.member).to_string();
            let instead = format!("({} {{ ..{} }}).{name}", self.written(&expr.path), self.written(rest));
            let choices = numbers.into_iter().map(|number| (number, instead.clone())).collect();
            self.choose(range(&field.expr), Vec::new(), choices);
            if let (None, Some(site)) = (field.colon_token, self.sites.last_mut()) {
                site.before.insert(0, Part::Plain(format!("{name}: ")));
            }
        }
        visit::visit_expr_struct(self, expr);
    }
}

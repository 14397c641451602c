//! What `abidw` says of librmon, reduced to its ABI: the exported symbols, their declarations, and the
//! types that these reach, under the names that rmon.h has for them.
//!
//! The result is again what abidiff reads. It differs from abidw's own in this:
//!
//! - The library's inside is left out, and with it all that depends on the machine.
//! - Rust's modules are left out: a type or function may move.
//! - Types are numbered by their names, so that the text changes only where the ABI does.
//! - `Option` of a function pointer is the function pointer, which it is for a C program. abidiff does
//!   not look behind it otherwise, and would not see any change of `rmon_event`.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result, bail};

/// An element of the XML that abidw writes: one start tag in each line.
#[derive(Clone, PartialEq)]
pub struct Element {
    /// `name attribute='value' ...`
    tag: String,
    /// What stands between the start tag and the end tag.
    pub children: Vec<Element>,
}

impl Element {
    /// Reads a document.
    pub fn parse(text: &str) -> Result<Element> {
        let mut open = vec![Element { tag: String::new(), children: Vec::new() }];
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let tag = line.strip_prefix('<').and_then(|line| line.strip_suffix('>'));
            let tag = tag.with_context(|| format!("not a line of abidw's: {line}"))?;
            let closed = match (tag.strip_prefix('/'), tag.strip_suffix('/')) {
                (Some(_), _) => open.pop().context("an end without a start")?,
                (None, Some(tag)) => Element { tag: tag.to_string(), children: Vec::new() },
                (None, None) => {
                    open.push(Element { tag: tag.to_string(), children: Vec::new() });
                    continue;
                }
            };
            open.last_mut().context("an end without a start")?.children.push(closed);
        }
        match open.pop() {
            Some(mut document) if open.is_empty() && document.children.len() == 1 => {
                Ok(document.children.remove(0))
            }
            _ => bail!("the XML is incomplete"),
        }
    }

    /// The text of the document, as abidw would write it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(0, &mut text);
        text
    }

    fn write(&self, depth: usize, text: &mut String) {
        let (indent, tag) = (" ".repeat(2 * depth), &self.tag);
        if self.children.is_empty() {
            text.push_str(&format!("{indent}<{tag}/>\n"));
            return;
        }
        text.push_str(&format!("{indent}<{tag}>\n"));
        self.children.iter().for_each(|child| child.write(depth + 1, text));
        text.push_str(&format!("{indent}</{}>\n", self.kind()));
    }

    /// What kind of element it is: "class-decl".
    pub fn kind(&self) -> &str {
        self.tag.split(' ').next().unwrap_or_default()
    }

    /// The value of an attribute.
    pub fn get(&self, attribute: &str) -> Option<&str> {
        let (_, rest) = self.tag.split_once(&format!(" {attribute}='"))?;
        rest.split('\'').next()
    }

    /// Gives an attribute that is there another value.
    pub fn set(&mut self, attribute: &str, value: &str) {
        if let Some(old) = self.get(attribute) {
            let [old, new] = [old, value].map(|value| format!(" {attribute}='{value}'"));
            self.tag = self.tag.replacen(&old, &new, 1);
        }
    }

    /// This and all that it contains.
    pub fn walk(&self) -> Vec<&Element> {
        let mut found = vec![self];
        found.extend(self.children.iter().flat_map(Element::walk));
        found
    }

    /// The first element of the kind and the name.
    pub fn find(&self, kind: &str, name: &str) -> Option<&Element> {
        let is_it = |part: &&Element| part.kind() == kind && part.get("name") == Some(name);
        self.walk().into_iter().find(is_it)
    }

    /// The first element below this one of the kind and the name, to be changed.
    pub fn find_mut(&mut self, kind: &str, name: &str) -> Option<&mut Element> {
        self.children.iter_mut().find_map(|child| {
            if child.kind() == kind && child.get("name") == Some(name) {
                return Some(child);
            }
            child.find_mut(kind, name)
        })
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.kind() == kind)
    }
}

/// Reduces what abidw says. `names` has rmon.h's name for a type of the library's.
pub fn reduced(corpus: &Element, names: &HashMap<String, String>) -> Result<Element> {
    let all = corpus.walk();
    let types = all.iter().filter_map(|element| Some((element.get("id")?, *element))).collect();
    let mut reducer = Reducer { types, names, wanted: Vec::new() };

    let mut declarations = BTreeMap::new();
    for element in &all {
        if let Some(symbol) = element.get("elf-symbol-id") {
            let mut declaration = reducer.renamed(element)?;
            declaration.set("name", symbol);
            declarations.insert(symbol, declaration);
        }
    }
    let symbols = all.iter().filter(|element| element.kind() == "elf-symbol");
    let unseen: Vec<&str> = symbols
        .filter_map(|symbol| symbol.get("name"))
        .filter(|name| !declarations.contains_key(name))
        .collect();
    if !unseen.is_empty() {
        bail!("the debug information does not say what these are: {}", unseen.join(" "));
    }

    let mut reached: BTreeMap<String, (&Element, Element)> = BTreeMap::new();
    while let Some(id) = reducer.wanted.pop() {
        let (name, element) = (reducer.name(id)?, reducer.behind(id)?);
        match reached.get(&name) {
            Some((known, _)) if *known == element => continue,
            Some(_) => bail!("two types are called {name}"),
            None => {}
        }
        let mut kept = reducer.renamed(element)?;
        kept.set("id", &name);
        if ["class-decl", "enum-decl", "type-decl"].contains(&kept.kind()) {
            kept.set("name", &name);
        }
        reached.insert(name, (element, kept));
    }

    let unit = Element {
        tag: "abi-instr address-size='64' path='librmon' language='LANG_UNKNOWN'".to_string(),
        children: reached
            .into_values()
            .map(|(_, kept)| kept)
            .chain(declarations.into_values())
            .collect(),
    };
    let symbols = corpus.children.iter().filter(|child| child.kind().starts_with("elf-"));
    Ok(Element { tag: corpus.tag.clone(), children: symbols.cloned().chain([unit]).collect() })
}

struct Reducer<'a> {
    types: HashMap<&'a str, &'a Element>,
    names: &'a HashMap<String, String>,
    /// The types that were met.
    wanted: Vec<&'a str>,
}

impl<'a> Reducer<'a> {
    /// A copy without what is no matter of layout, whose types are referred to by their names.
    fn renamed(&mut self, element: &'a Element) -> Result<Element> {
        let mut copy = Element { tag: element.tag.clone(), children: Vec::new() };
        if let Some(id) = element.get("type-id") {
            copy.set("type-id", &self.name(id)?);
            self.wanted.push(id);
        }
        if element.kind() == "subrange" {
            copy.set("id", &format!("subrange {}", element.get("length").unwrap_or_default()));
        }
        for child in &element.children {
            if !child.kind().starts_with("member-") {
                copy.children.push(self.renamed(child)?);
            }
        }
        Ok(copy)
    }

    /// A type's name, which says all that is not said by the names of structs.
    fn name(&self, id: &str) -> Result<String> {
        let element = self.behind(id)?;
        let of = |element: &Element| {
            self.name(
                element.get("type-id").with_context(|| format!("{} of nothing", element.tag))?,
            )
        };
        match element.kind() {
            "type-decl" | "class-decl" | "enum-decl" => {
                let name = element.get("name").context("a type without a name")?;
                Ok(self.names.get(name).map_or(name, String::as_str).to_string())
            }
            "pointer-type-def" => Ok(format!("{}*", of(element)?)),
            "array-type-def" => {
                let lengths = element.of_kind("subrange").filter_map(|range| range.get("length"));
                Ok(format!("{}[{}]", of(element)?, lengths.collect::<Vec<_>>().join("][")))
            }
            "function-type" => {
                let parameters =
                    element.of_kind("parameter").map(of).collect::<Result<Vec<_>>>()?;
                let result = element.of_kind("return").map(of).collect::<Result<Vec<_>>>()?;
                Ok(format!("{}({})", result.concat(), parameters.join(", ")))
            }
            kind => bail!("a {kind} in the ABI"),
        }
    }

    /// The type of this id; for an `Option` whose `None` is NULL the pointer's.
    fn behind(&self, id: &str) -> Result<&'a Element> {
        let element = *self.types.get(id).with_context(|| format!("there is no type {id}"))?;
        Ok(self.behind_option(element).unwrap_or(element))
    }

    fn behind_option(&self, element: &'a Element) -> Option<&'a Element> {
        let mut variants = element.of_kind("member-type").flat_map(|variant| &variant.children);
        let (none, some) = (variants.next()?, variants.next()?);
        let [member] = some.children.as_slice() else {
            return None;
        };
        let names = [none.get("name"), some.get("name")] == [Some("None"), Some("Some")];
        let inner = self.types.get(member.children.first()?.get("type-id")?)?;
        let niche = inner.kind() == "pointer-type-def"
            && inner.get("size-in-bits") == element.get("size-in-bits");
        (names && niche).then_some(inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "\
<abi-corpus version='2.1'>
  <elf-function-symbols>
    <elf-symbol name='rmon_get'/>
  </elf-function-symbols>
  <abi-instr path='/somewhere'>
    <namespace-decl name='inside'>
      <class-decl name='Unused' size-in-bits='8' id='type-id-1'/>
      <class-decl name='State' size-in-bits='16' id='type-id-2'>
        <member-function access='public'>
          <function-decl name='new'/>
        </member-function>
      </class-decl>
      <class-decl name='Option&lt;fn&gt;' size-in-bits='64' id='type-id-3'>
        <member-type access='public'>
          <class-decl name='None' size-in-bits='64' id='type-id-4'/>
        </member-type>
        <member-type access='public'>
          <class-decl name='Some' size-in-bits='64' id='type-id-5'>
            <data-member layout-offset-in-bits='0'>
              <var-decl name='__0' type-id='type-id-6'/>
            </data-member>
          </class-decl>
        </member-type>
      </class-decl>
      <function-decl name='get' elf-symbol-id='rmon_get'>
        <parameter type-id='type-id-3'/>
        <return type-id='type-id-9'/>
      </function-decl>
    </namespace-decl>
    <pointer-type-def type-id='type-id-7' size-in-bits='64' id='type-id-6'/>
    <function-type size-in-bits='64' id='type-id-7'>
      <parameter type-id='type-id-8'/>
      <return type-id='type-id-9'/>
    </function-type>
    <pointer-type-def type-id='type-id-2' size-in-bits='64' id='type-id-8'/>
    <type-decl name='i32' size-in-bits='32' id='type-id-9'/>
  </abi-instr>
</abi-corpus>
";

    const REDUCED: &str = "\
<abi-corpus version='2.1'>
  <elf-function-symbols>
    <elf-symbol name='rmon_get'/>
  </elf-function-symbols>
  <abi-instr address-size='64' path='librmon' language='LANG_UNKNOWN'>
    <type-decl name='i32' size-in-bits='32' id='i32'/>
    <function-type size-in-bits='64' id='i32(rmon_state*)'>
      <parameter type-id='rmon_state*'/>
      <return type-id='i32'/>
    </function-type>
    <pointer-type-def type-id='i32(rmon_state*)' size-in-bits='64' id='i32(rmon_state*)*'/>
    <class-decl name='rmon_state' size-in-bits='16' id='rmon_state'/>
    <pointer-type-def type-id='rmon_state' size-in-bits='64' id='rmon_state*'/>
    <function-decl name='rmon_get' elf-symbol-id='rmon_get'>
      <parameter type-id='i32(rmon_state*)*'/>
      <return type-id='i32'/>
    </function-decl>
  </abi-instr>
</abi-corpus>
";

    fn reduce(text: &str) -> Result<String> {
        let names = HashMap::from([("State".to_string(), "rmon_state".to_string())]);
        Ok(reduced(&Element::parse(text)?, &names)?.text())
    }

    #[test]
    fn what_is_read_is_written_again() -> Result<()> {
        assert_eq!(Element::parse(DUMP)?.text(), DUMP);
        Ok(())
    }

    #[test]
    fn only_the_abi_is_left() -> Result<()> {
        assert_eq!(reduce(DUMP)?, REDUCED);
        Ok(())
    }

    #[test]
    fn a_symbol_that_is_not_described_is_no_abi() {
        let without = DUMP.replace(" elf-symbol-id='rmon_get'", "");
        assert!(reduce(&without).is_err_and(|error| error.to_string().contains("rmon_get")));
    }
}

//! Runs a case through the library and through the model, says where they part, and makes a case that
//! tells them apart as short as it can be.

use super::coverage::Coverage;
use super::op::{Behaviour, Case, Op, Seen, same_versions};
use super::{calls, library};

/// How the traces of a case differ, if they do.
pub fn difference(case: &Case, coverage: &mut Coverage) -> Option<String> {
    let mut library = library::run(case);
    let made = library.iter().filter_map(|seen| match seen {
        Seen::Made(address) => Some(*address),
        _ => None,
    });
    let (mut model, reached) = calls::run(case, made.collect());
    coverage.add(reached);
    same_versions(&mut library);
    same_versions(&mut model);
    let same = library.iter().zip(&model).take_while(|(library, model)| library == model).count();
    if same == library.len().max(model.len()) {
        return None;
    }
    let before = model[same.saturating_sub(8)..same].iter().map(|seen| format!("\n  {seen:?}"));
    Some(format!(
        "both saw, last: {}\nthen the model: {:?}\nbut the library: {:?}",
        before.collect::<String>(),
        model.get(same),
        library.get(same)
    ))
}

/// All lists that are a little shorter: without one call, or with less in one callback.
fn shorter(ops: &[Op]) -> Vec<Vec<Op>> {
    let mut found = Vec::new();
    for (at, op) in ops.iter().enumerate() {
        let with = |instead: Option<Op>| {
            ops[..at].iter().cloned().chain(instead).chain(ops[at + 1..].iter().cloned()).collect()
        };
        found.push(with(None));
        let Op::Register { tool, event, behaviour } = op else {
            continue;
        };
        let (tool, event) = (*tool, *event);
        for inside in shorter(&behaviour.inside) {
            let behaviour = Behaviour { inside, ..behaviour.clone() };
            found.push(with(Some(Op::Register { tool, event, behaviour })));
        }
        for ops in shorter(behaviour.destroy.as_deref().unwrap_or(&[])) {
            let behaviour = Behaviour { destroy: Some(ops), ..behaviour.clone() };
            found.push(with(Some(Op::Register { tool, event, behaviour })));
        }
    }
    found
}

/// As short as a case can be made that still tells the two apart. (What proptest leaves has the pieces
/// that it was generated in.)
pub fn shortest(mut case: Case) -> Case {
    loop {
        let tried = shorter(&case.ops).into_iter();
        let mut cases = tried.map(|ops| Case { arrays: case.arrays.clone(), ops });
        match cases.find(|case| difference(case, &mut Coverage::default()).is_some()) {
            Some(found) => case = found,
            None => return case,
        }
    }
}

/// A case as text.
pub fn listed(case: &Case) -> String {
    let array = |(number, types)| format!("array {number}: {types:?}");
    let arrays = case.arrays.iter().enumerate().map(array);
    let ops = case.ops.iter().map(|op| format!("  {op:?}"));
    arrays.chain(ops).collect::<Vec<_>>().join("\n")
}

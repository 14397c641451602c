//! Fires what Python asks it to.

use pyo3::prelude::*;
use rmon_emitter::{Code, CodeLike, CodeSpec, Emitter, Event, LineEntry, Object};

static EMITTER: Emitter = Emitter::new();
static LINES: [LineEntry; 2] = [LineEntry { offset: 0, line: 7 }, LineEntry { offset: 6, line: 8 }];
static LOOK_ALIKE: CodeLike =
    CodeLike::from_static(CodeSpec::new("area", "shape.x", 7).qualname("Shape.area").lines(&LINES));

/// What an event carries, besides the code.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Fire<'py> {
    event: u8,
    offset: i32,
    object: Option<Bound<'py, PyAny>>,
    arg0: Option<Bound<'py, PyAny>>,
    number: i32,
}

fn fire_at<C: Code>(code: C, fire: &Fire<'_>) -> Result<(), C::Error> {
    let offset = fire.offset;
    let object = fire.object.as_ref().map_or(Object::NONE, Object::from);
    let arg0 = fire.arg0.as_ref().map_or(Object::NONE, Object::from);
    let event = Event::ALL[usize::from(fire.event)];
    match event {
        Event::PyStart => EMITTER.py_start(code, offset),
        Event::PyResume => EMITTER.py_resume(code, offset),
        Event::PyReturn => EMITTER.py_return(code, offset, object),
        Event::PyYield => EMITTER.py_yield(code, offset, object),
        Event::Call => EMITTER.call(code, offset, object, arg0),
        Event::Line => EMITTER.line(code, offset, fire.number),
        Event::Instruction => EMITTER.instruction(code, offset),
        Event::Jump => EMITTER.jump(code, offset, fire.number),
        Event::BranchLeft => EMITTER.branch_left(code, offset, fire.number),
        Event::BranchRight => EMITTER.branch_right(code, offset, fire.number),
        Event::StopIteration => EMITTER.stop_iteration(code, offset, object),
        Event::Raise => EMITTER.raise(code, offset, object),
        Event::ExceptionHandled => EMITTER.exception_handled(code, offset, object),
        Event::PyUnwind => EMITTER.py_unwind(code, offset, object),
        Event::PyThrow => EMITTER.py_throw(code, offset, object),
        Event::Reraise => EMITTER.reraise(code, offset, object),
        Event::CReturn => EMITTER.c_return(code, offset, object, arg0),
        Event::CRaise => EMITTER.c_raise(code, offset, object, arg0),
        Event::Branch => EMITTER.branch(code, offset, fire.number),
    }
}

#[pyfunction]
fn event_names() -> Vec<&'static str> {
    Event::ALL.iter().map(|event| event.name()).collect()
}

#[pyfunction]
fn enter() {
    EMITTER.enter();
}

/// Whether somebody may want lines.
#[pyfunction]
fn is_active() -> bool {
    EMITTER.state(Event::Line).is_active()
}

/// Fires with an object as the code.
#[pyfunction]
fn fire(code: &Bound<'_, PyAny>, fire: Fire<'_>) -> PyResult<()> {
    fire_at(code, &fire)
}

/// Fires with the look-alike.
#[pyfunction]
fn fire_look_alike(py: Python<'_>, fire: Fire<'_>) -> PyResult<()> {
    fire_at((&LOOK_ALIKE, py), &fire)
}

/// Fires a line of the look-alike without the thread being attached; the status.
#[pyfunction]
fn fire_detached(py: Python<'_>, line: i32) -> i32 {
    py.detach(|| EMITTER.line(&LOOK_ALIKE, 0, line).map_or_else(|failed| failed.status(), |()| 0))
}

/// Fires with an exception set; the one that is set afterwards, if the fire does not fail.
#[pyfunction]
fn fire_in_flight<'py>(
    code: &Bound<'py, PyAny>,
    fire: Fire<'py>,
    exception: Bound<'py, PyAny>,
) -> PyResult<Option<PyErr>> {
    PyErr::from_value(exception).restore(code.py());
    fire_at(code, &fire)?;
    Ok(PyErr::take(code.py()))
}

/// A call that ends by being left: with `None`, or by a panic.
#[pyfunction]
fn call(code: &Bound<'_, PyAny>, panics: bool) -> PyResult<()> {
    let mut frame = EMITTER.frame(code, 0)?;
    frame.line(4, 2)?;
    if panics {
        panic!("as it was told to");
    }
    Ok(())
}

#[pymodule]
fn firing(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(event_names, module)?)?;
    module.add_function(wrap_pyfunction!(enter, module)?)?;
    module.add_function(wrap_pyfunction!(is_active, module)?)?;
    module.add_function(wrap_pyfunction!(fire, module)?)?;
    module.add_function(wrap_pyfunction!(fire_look_alike, module)?)?;
    module.add_function(wrap_pyfunction!(fire_detached, module)?)?;
    module.add_function(wrap_pyfunction!(fire_in_flight, module)?)?;
    module.add_function(wrap_pyfunction!(call, module)?)?;
    Ok(())
}

//! Fires with each kind of code that PyO3 has to do with; and, for xtask, what probes compile to.

use pyo3::prelude::*;
use rmon_emitter::{CodeLike, CodeSpec, Emitter, Object};

static EMITTER: Emitter = Emitter::new();
static CODE: CodeLike = CodeLike::from_static(CodeSpec::new("f", "f.x", 1));

/// Fires a call's events with the look-alike, then a line with an object as the code.
#[pyfunction]
fn fire(py: Python<'_>, code: &Bound<'_, PyAny>, object: &Bound<'_, PyAny>) -> PyResult<()> {
    let mut frame = EMITTER.frame((&CODE, py), 0)?;
    frame.line(1, 2)?;
    let held: Py<PyAny> = object.clone().unbind();
    EMITTER.call(code, 2, &held, Object::NONE)?;
    frame.py_return(3, object)
}

/// A probe that is asleep: three instructions, then what the function is for.
#[no_mangle]
pub fn rust_probe(number: u32) -> u32 {
    let _ = EMITTER.line(&CODE, 0, 1);
    number.wrapping_mul(3)
}

/// Entering, while nothing has changed.
#[no_mangle]
pub fn rust_enter() {
    EMITTER.enter();
}

#[pymodule]
fn oldest(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(fire, module)?)
}

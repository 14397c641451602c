//! recipe: steps for rows of data, read from a file, as an iterator for Python.
//!
//! The language is in steps.rs. What is here runs it, and says what happens by way of probes.rs: to a
//! tool a recipe is a generator, with a line for each step.

mod probes;
mod steps;

use std::fs;
use std::path::PathBuf;

use pyo3::exceptions::{PyNameError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator};
use rmon_emitter::Event;

use probes::{offset, Probes, AROUND};
use steps::{Action, Step};

/// A recipe from a file. `functions` has the Python functions that it can call, by name.
#[pyclass(frozen, module = "recipe")]
struct Recipe {
    steps: Vec<Step>,
    functions: Py<PyDict>,
    probes: Probes,
}

#[pymethods]
impl Recipe {
    #[new]
    fn new(path: PathBuf, functions: &Bound<'_, PyDict>) -> PyResult<Recipe> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let file = path.to_string_lossy();
        let steps = steps::parse(functions.py(), &file, &fs::read_to_string(&path)?)?;
        let probes = Probes::new(&name, &file, &steps)?;
        Ok(Recipe { steps, functions: functions.clone().unbind(), probes })
    }

    /// An iterator over what becomes of the rows, which are dicts.
    fn apply(recipe: Bound<'_, Recipe>, rows: &Bound<'_, PyAny>) -> PyResult<Rows> {
        let source = rows.try_iter()?.unbind();
        Ok(Rows { recipe: recipe.unbind(), source, progress: Progress::New })
    }
}

/// What `Recipe.apply` returns.
#[pyclass(module = "recipe")]
struct Rows {
    recipe: Py<Recipe>,
    source: Py<PyIterator>,
    progress: Progress,
}

enum Progress {
    New,
    Suspended,
    Over,
}

#[pymethods]
impl Rows {
    fn __iter__(rows: PyRef<'_, Self>) -> PyRef<'_, Self> {
        rows
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        // Over, unless it turns out that there is a row.
        let progress = std::mem::replace(&mut self.progress, Progress::Over);
        if let Progress::Over = progress {
            return Ok(None);
        }
        let recipe = self.recipe.get();
        let (probes, code) = (&recipe.probes, (&recipe.probes.code, py));
        probes.enter();
        let start = match progress {
            Progress::Suspended => probes.state(Event::PyResume).py_resume(code, AROUND),
            _ => probes.state(Event::PyStart).py_start(code, AROUND),
        };
        let result = start.and_then(|()| recipe.next(self.source.bind(py)));
        let result = result.and_then(|row| {
            match &row {
                Some(row) => probes.state(Event::PyYield).py_yield(code, AROUND, row)?,
                None => {
                    let none = py.None();
                    probes.state(Event::PyReturn).py_return(code, AROUND, &none)?;
                }
            }
            Ok(row)
        });
        match &result {
            Ok(Some(_)) => self.progress = Progress::Suspended,
            Ok(None) => {}
            Err(error) => {
                let exception = error.value(py);
                probes.state(Event::PyUnwind).py_unwind(code, AROUND, exception)?;
            }
        }
        result
    }
}

impl Recipe {
    /// The next row that is kept.
    fn next<'py>(&self, source: &Bound<'py, PyIterator>) -> PyResult<Option<Bound<'py, PyDict>>> {
        for row in source.clone() {
            let row = row?.cast_into::<PyDict>();
            let row = row.map_err(|_| PyTypeError::new_err("a row must be a dict"))?;
            if self.keeps(&row)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// Takes all steps with a row, unless one of them says that it is not kept.
    fn keeps(&self, row: &Bound<'_, PyDict>) -> PyResult<bool> {
        let code = (&self.probes.code, row.py());
        for (index, step) in self.steps.iter().enumerate() {
            self.probes.line(index).line(code, offset(index), step.line)?;
            match self.step(index, row) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) => {
                    let raise = self.probes.state(Event::Raise);
                    raise.raise(code, offset(index), error.value(row.py()))?;
                    return Err(error);
                }
            }
        }
        Ok(true)
    }

    /// Takes one step.
    fn step(&self, index: usize, row: &Bound<'_, PyDict>) -> PyResult<bool> {
        let code = (&self.probes.code, row.py());
        let offset = offset(index);
        match &self.steps[index].action {
            Action::Keep(left, compare, right) => {
                let kept = left.of(row)?.rich_compare(right.of(row)?, *compare)?.is_truthy()?;
                // Left: on to the next step. Right: back, for the next row.
                if kept {
                    let state = self.probes.state(Event::BranchLeft);
                    state.branch_left(code, offset, probes::offset(index + 1))?;
                } else {
                    let state = self.probes.state(Event::BranchRight);
                    state.branch_right(code, offset, AROUND)?;
                }
                return Ok(kept);
            }
            Action::Set(field, value) => row.set_item(field, value.of(row)?)?,
            Action::Drop(field) => row.del_item(field)?,
            Action::Call(name) => self.call(name, offset, row)?,
        }
        Ok(true)
    }

    /// Has a Python function change the row.
    fn call(&self, name: &str, offset: i32, row: &Bound<'_, PyDict>) -> PyResult<()> {
        let code = (&self.probes.code, row.py());
        let function = self.functions.bind(row.py()).get_item(name)?;
        let function =
            function.ok_or_else(|| PyNameError::new_err(format!("there is no function {name}")))?;
        self.probes.state(Event::Call).call(code, offset, &function, row)?;
        match function.call1((row,)) {
            Ok(_) => self.probes.state(Event::CReturn).c_return(code, offset, &function, row),
            Err(error) => {
                self.probes.state(Event::CRaise).c_raise(code, offset, &function, row)?;
                Err(error)
            }
        }
    }
}

#[pymodule]
fn recipe(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Recipe>()
}

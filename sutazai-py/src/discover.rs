//! Sources of agents that are written in Python.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use sutazai_core::base::runtime::Runtime;
use sutazai_core::base::time::Moment;
use sutazai_core::port::{Agent, DiscoverySource, FoundAgent, Sighting};
use sutazai_core::{Code, Error, Result};

use crate::agent::PythonAgent;
use crate::heal::{Releases, stopped};
use crate::{error, exit};

/// A source whose looks are calls of a Python callable, which gives a list of [`Given`].
pub(crate) struct PythonSource {
    name: String,
    runtime: Arc<dyn Runtime>,
    find: Mutex<Option<Py<PyAny>>>,
    made: Agents,
}

/// The agents that were made, to be let go of with the kernel.
type Agents = Arc<Mutex<Vec<Weak<PythonAgent>>>>;

/// Item, origin, the agent's name where it is known, what is said of it, its fingerprint, and what makes the
/// agent, or the exception that says what is wrong.
type Given<'py> = (String, String, Option<String>, String, String, Bound<'py, PyAny>);

impl PythonSource {
    pub(crate) fn new(name: String, runtime: Arc<dyn Runtime>, find: Py<PyAny>) -> Self {
        Self { name, runtime, find: Mutex::new(Some(find)), made: Agents::default() }
    }

    fn found(&self, given: Given<'_>) -> Result<FoundAgent> {
        let (item, origin, agent, said, fingerprint, what) = given;
        let problem = || error::from_exception(&what, "source");
        let sighting = match said.as_str() {
            "here" => {
                let (make, runtime) = (what.unbind(), Arc::clone(&self.runtime));
                let made = Arc::clone(&self.made);
                Sighting::Here { fingerprint, make: Box::new(move || build(&make, runtime, &made)) }
            }
            "away" => Sighting::Away(problem()),
            "refused" => Sighting::Refused(problem()),
            "gone" => Sighting::Gone(problem()),
            "unsettled" => Sighting::Unsettled,
            other => {
                return Err(Error::new(Code::INVALID, "not a state of what is found")
                    .with("state", other)
                    .with("item", item));
            }
        };
        let mut found = FoundAgent::new(item, origin, sighting);
        found.agent = agent.map(Arc::from);
        Ok(found)
    }
}

/// Makes the agent that was declared.
fn build(make: &Py<PyAny>, runtime: Arc<dyn Runtime>, made: &Agents) -> Result<Arc<dyn Agent>> {
    let built = exit::attach(|py| {
        let raised = |raised: PyErr| error::from_raised(py, &raised, "source");
        let declared = exit::call(make.bind(py), &PyTuple::empty(py)).map_err(raised)?;
        PythonAgent::described(&declared, &runtime).map(Arc::new).map_err(raised)
    });
    let agent = built.unwrap_or_else(|| Err(stopped()))?;
    let mut made = made.lock();
    made.retain(|agent| agent.strong_count() > 0);
    made.push(Arc::downgrade(&agent));
    drop(made);
    Ok(agent)
}

impl DiscoverySource for PythonSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn find(&self, _: Moment, sink: &mut dyn FnMut(FoundAgent)) -> Result<()> {
        let found = exit::attach(|py| {
            let find = self.find.lock().as_ref().map(|find| find.clone_ref(py));
            let find = find.ok_or_else(stopped)?;
            let raised = |raised: PyErr| error::from_raised(py, &raised, "source");
            let given = exit::call(find.bind(py), &PyTuple::empty(py)).map_err(raised)?;
            let given: Vec<Given<'_>> = given.extract().map_err(raised)?;
            given.into_iter().map(|given| self.found(given)).collect::<Result<Vec<_>>>()
        });
        found.unwrap_or_else(|| Err(stopped()))?.into_iter().for_each(sink);
        Ok(())
    }
}

impl Releases for PythonSource {
    fn release(&self) {
        let find = self.find.lock().take();
        let made = std::mem::take(&mut *self.made.lock());
        made.iter().filter_map(Weak::upgrade).for_each(|agent| agent.release());
        drop(find);
    }
}

//! Which methods are tried: [`methods`].

use super::Model;
use super::regress::Autoregression;
use super::simple::{Repeat, Theta};
use super::smooth::Smoothing;

/// Rounds that a mean is taken of.
const ROUNDS: usize = 3;

/// A method to be tried.
pub(super) struct Method {
    pub name: String,
    /// Whether it is worth while on logarithms as well.
    pub on_logarithms: bool,
    pub model: Box<dyn Model>,
}

/// The methods for a series with these seasons.
pub(super) fn methods(seasons: &[usize]) -> Vec<Method> {
    let all = || seasons.to_vec();
    let (trend, carry) = (true, true);
    let mut methods = vec![
        new("smoothing", Smoothing { seasons: all(), trend: false, carry }),
        new("smoothing with a trend", Smoothing { seasons: all(), trend, carry: false }),
        new("autoregression", Autoregression { seasons: all(), profile: false }),
        new("autoregression about the profile", Autoregression { seasons: all(), profile: true }),
        new("theta", Theta { seasons: all() }),
    ];
    if let [short, _] = seasons {
        let model = Smoothing { seasons: vec![*short], trend: false, carry };
        methods.push(new("smoothing of the shorter season", model));
    }
    for period in seasons {
        methods
            .push(plain(format!("last round of {period}"), Repeat { period: *period, rounds: 1 }));
        let model = Repeat { period: *period, rounds: ROUNDS };
        methods.push(plain(format!("mean round of {period}"), model));
    }
    if seasons.is_empty() {
        methods.push(plain("last value".to_owned(), Repeat { period: 1, rounds: 1 }));
    }
    methods
}

fn new(name: &str, model: impl Model + 'static) -> Method {
    Method { name: name.to_owned(), on_logarithms: true, model: Box::new(model) }
}

fn plain(name: String, model: Repeat) -> Method {
    Method { name, on_logarithms: false, model: Box::new(model) }
}

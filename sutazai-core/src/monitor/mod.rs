//! Monitoring that predicts.

mod anomaly;

pub use anomaly::{AnomalyDetector, AnomalyKind, AnomalyPolicy, AnomalyView, Detector, Verdict};

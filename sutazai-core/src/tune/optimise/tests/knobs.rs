use proptest::prelude::*;

use super::super::*;

fn all() -> Vec<Knob> {
    let float = KnobKind::Float { low: 0.001, high: 10.0, scale: KnobScale::Log };
    let whole = KnobKind::Integer { low: -3, high: 40, scale: KnobScale::Linear };
    let levels = KnobKind::Levels { levels: vec![1.0, 1.5, 8.0, 100.0] };
    let names = ["lru", "fifo", "random"].map(str::to_owned).to_vec();
    vec![
        Knob::new("float", float, KnobValue::Number(0.1)).max_step(0.25),
        Knob::new("whole", whole, KnobValue::Integer(0)).max_step(0.1),
        Knob::new("level", levels, KnobValue::Number(8.0)).max_step(0.1),
        Knob::new("choice", KnobKind::Choice { names }, KnobValue::Name("fifo".into())),
        Knob::new("switch", KnobKind::Switch, KnobValue::Switch(true)),
    ]
}

#[test]
fn a_setting_is_a_point_and_back() {
    let space = Space::new(all()).unwrap();
    let mut setting = space.current();
    assert_eq!(space.decode(&space.encode(&setting)), setting);
    for (name, value) in [
        ("float", KnobValue::Number(10.0)),
        ("whole", KnobValue::Integer(40)),
        ("level", KnobValue::Number(1.5)),
        ("choice", KnobValue::Name("random".into())),
        ("switch", KnobValue::Switch(false)),
    ] {
        setting.insert(name.into(), value);
        assert_eq!(space.decode(&space.encode(&setting)), setting);
        space.check(&setting).unwrap();
    }
    setting.insert("whole".into(), KnobValue::Integer(41));
    assert!(space.check(&setting).unwrap_err().to_string().contains("whole"));
    setting.insert("whole".into(), KnobValue::Integer(4));
    setting.insert("more".into(), KnobValue::Integer(4));
    assert!(space.check(&setting).unwrap_err().to_string().contains("more"));
}

#[test]
fn a_knob_that_makes_no_sense_is_refused() {
    let whole = |low, high, scale| KnobKind::Integer { low, high, scale };
    let bad = [
        Knob::new("", KnobKind::Switch, KnobValue::Switch(true)),
        Knob::new("a", KnobKind::Switch, KnobValue::Integer(1)),
        Knob::new("a", KnobKind::Switch, KnobValue::Switch(true)).max_step(0.0),
        Knob::new("a", whole(3, 3, KnobScale::Linear), KnobValue::Integer(3)),
        Knob::new("a", whole(0, 3, KnobScale::Log), KnobValue::Integer(3)),
        Knob::new("a", whole(0, 3, KnobScale::Linear), KnobValue::Integer(4)),
        Knob::new("a", KnobKind::Levels { levels: vec![2.0, 1.0] }, KnobValue::Number(2.0)),
        Knob::new("a", KnobKind::Choice { names: vec!["x".into()] }, KnobValue::Name("x".into())),
    ];
    for knob in bad {
        assert!(knob.check().is_err(), "{knob:?}");
    }
    let float = |low, high| KnobKind::Float { low, high, scale: KnobScale::Linear };
    for (low, high) in [(f64::NAN, 1.0), (0.0, f64::INFINITY), (-f64::MAX, f64::MAX)] {
        assert!(Knob::new("a", float(low, high), KnobValue::Number(0.5)).check().is_err());
    }
    assert!(Space::new(Vec::new()).is_err());
    assert!(Space::new([all(), all()].concat()).is_err());
    let text = serde_json::to_string(&all()).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Knob>>(&text).unwrap(), all());
}

proptest! {
    #[test]
    fn whatever_the_point_the_setting_is_allowed(x in proptest::collection::vec(-0.5f64..1.5, 7)) {
        let space = Space::new(all()).unwrap();
        let mut x: Vec<f64> = x.iter().map(|v| v.clamp(0.0, 1.0)).collect();
        space.snap(&mut x);
        let setting = space.decode(&x);
        prop_assert!(space.check(&setting).is_ok());
        // Snapped, it is the point of its setting.
        let again = space.encode(&setting);
        prop_assert!(again.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-9), "{again:?} {x:?}");
        // One step leads no farther than it says.
        let bounds = space.reach(&x);
        for (x, (low, high)) in x.iter().zip(bounds.low.iter().zip(&bounds.high)) {
            prop_assert!(*low <= x + 1e-9 && *x <= high + 1e-9);
        }
        prop_assert!(bounds.high[0] - x[0] <= 0.25 + 1e-9 && x[0] - bounds.low[0] <= 0.25 + 1e-9);
        prop_assert!((bounds.high[1] - x[1]) * 43.0 <= 4.3 + 1e-6);
        prop_assert!((bounds.high[2] - x[2]) * 3.0 <= 1.0 + 1e-6);
    }
}

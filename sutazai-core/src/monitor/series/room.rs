//! Room for series: who was refused, what takes it, and what is let go of by name.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::format;
use super::history::{History, Series};
use super::keep::{Keeper, record_key};
use super::policy::Overflow;
use super::shelf::Shelf;
use super::status::SeriesFamily;
use crate::{Code, Error, Result};

/// Names that were refused and are remembered.
const REFUSED_MAX: usize = 16;
/// Families that are told.
const FAMILIES: usize = 5;
/// Blocks after which they are deleted from the shelf before more are let go of.
const DELETE_AT: usize = 4_096;
/// Series of one record of the journal that says that they are no more.
const RECORD_SERIES: usize = 1_000;

/// The room that a new series may have.
#[derive(Clone, Copy, Debug)]
pub(in crate::monitor) struct Room {
    /// Where there are so many series, or more, there is none.
    pub(in crate::monitor) most: usize,
    /// It is one of the kernel's own: it may have that of any, others may not have that of these.
    pub(in crate::monitor) own: bool,
}

impl Room {
    /// All that there is.
    pub(super) const ALL: Self = Self { most: usize::MAX, own: false };
}

/// The last series that had no room, and what has it.
#[derive(Debug, Default)]
pub(super) struct Refused {
    names: VecDeque<String>,
    families: Option<Counted>,
}

/// Families, and as of how many series that there were, and had been dropped.
type Counted = ((usize, u64), Arc<[SeriesFamily]>);

impl Refused {
    pub(super) fn add(&mut self, name: &str) {
        if self.names.iter().any(|one| one == name) {
            return;
        }
        if self.names.len() >= REFUSED_MAX {
            self.names.pop_front();
        }
        self.names.push_back(name.to_owned());
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.names.iter().cloned().collect()
    }
}

/// A series' name without labels, each row of digits as `#`.
fn family(name: &str) -> String {
    let bare = name.split_once('{').map_or(name, |(bare, _)| bare);
    let mut family = String::new();
    for c in bare.chars() {
        match c.is_ascii_digit() {
            true if family.ends_with('#') => {}
            true => family.push('#'),
            false => family.push(c),
        }
    }
    family
}

/// Which series are let go of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forget<'a> {
    /// The series; one that ends in `*` stands for all that begin so: no series' name does. Elsewhere a `*` is one.
    pub series: &'a str,
    /// Only those that have these labels, among others.
    pub labels: &'a BTreeMap<String, String>,
}

impl Forget<'_> {
    /// Whether this series is one of them.
    pub(in crate::monitor) fn fits(&self, name: &str) -> bool {
        let named = match self.series.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => name == self.series,
        };
        named && self.labels.iter().all(|(label, value)| has_label(name, label, value))
    }
}

/// Whether the name has this label, as Prometheus writes it, or as Rust writes texts, which the kernel's own names do.
fn has_label(name: &str, label: &str, value: &str) -> bool {
    let Some((_, labels)) = name.split_once('{') else { return false };
    let plain = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let written = [format!("{label}=\"{plain}\""), format!("{label}={value:?}")];
    // Within a value a quote has a backslash before it, so that what is found is a label.
    written.iter().any(|wanted| {
        labels.match_indices(wanted).any(|(at, _)| {
            let before = labels.get(..at).unwrap_or_default();
            let after = labels.get(at + wanted.len()..).unwrap_or_default();
            (before.is_empty() || before.ends_with(',')) && after.starts_with([',', '}'])
        })
    })
}

impl History {
    /// The series of this name, made if there is none; nothing when there is no room.
    pub(super) fn series_of(&self, name: &str, room: Room) -> Option<Arc<Series>> {
        let mut table = self.table.write();
        if let Some(series) = table.get(name) {
            return Some(Arc::clone(series));
        }
        if table.len() >= room.most.min(self.policy.series as usize) {
            let Overflow::Idle = self.policy.overflow else { return None };
            let newest = |series: &Arc<Series>| series.track.lock().newest();
            let goes = |series: &&Arc<Series>| room.own || !series.own.load(Ordering::Relaxed);
            let idle = table.values().filter(goes).min_by_key(|series| newest(series)).cloned()?;
            table.remove(&idle.name);
            self.removed(&idle);
        }
        let series = self.insert(&mut table, name);
        series.own.store(room.own, Ordering::Relaxed);
        Some(series)
    }

    /// What series there are most of, the most first.
    pub(super) fn families(&self) -> Arc<[SeriesFamily]> {
        let dropped = self.figures.series_dropped.load(Ordering::Relaxed);
        let table = self.table.read();
        let as_of = (table.len(), dropped);
        let known = self.refused.lock().families.clone();
        if let Some((_, families)) = known.filter(|(of, _)| *of == as_of) {
            return families;
        }
        let mut counts: HashMap<String, usize> = HashMap::new();
        table.keys().for_each(|name| *counts.entry(family(name)).or_default() += 1);
        drop(table);
        let mut all: Vec<_> =
            counts.into_iter().map(|(family, series)| SeriesFamily { family, series }).collect();
        all.sort_by(|a, b| (Reverse(a.series), &a.family).cmp(&(Reverse(b.series), &b.family)));
        all.truncate(FAMILIES);
        let families: Arc<[SeriesFamily]> = all.into();
        self.refused.lock().families = Some((as_of, Arc::clone(&families)));
        families
    }

    /// Why a new series is refused where there may be `most`.
    pub(in crate::monitor) fn full(&self, most: usize) -> Error {
        let families = self.families();
        let told: Vec<String> =
            families.iter().map(|one| format!("{} ({})", one.family, one.series)).collect();
        let all = self.policy.series as usize;
        let error = Error::new(Code::OVERLOADED, "there are as many series as there may be")
            .with("series_that_there_are", self.table.read().len())
            .with("most", most.min(all));
        let error = match most < all {
            true => error.with("left_to_the_kernels_own", all - most),
            false => error,
        };
        error.with("most_of_them", told.join(", ")).advice(
            "let series go that nobody needs (monitor.forget), put what has many values in fewer series, or allow more: \
             [monitor] watch.history.series, or its overflow = \"idle\"",
        )
    }

    /// That there is no such series.
    pub(in crate::monitor) fn missing(&self, name: &str) -> Error {
        let shown: String = name.chars().take(super::NAME_MAX).collect();
        let error = Error::new(Code::NOT_FOUND, "there is no series of this name")
            .with("series", shown.escape_debug());
        let table = self.table.read();
        match crate::base::nearest::nearest(name, table.keys().map(|name| &**name)) {
            Some(near) => error.advice(format!("did you mean '{near}'?")),
            None => error.advice("monitor.series lists those that there are"),
        }
    }

    /// Lets series go, with all that is kept of them, also on the shelf; answers which. One that is measured again begins anew.
    ///
    /// # Errors
    /// Those of the shelf. What it has not been told of stays in memory; do it again, which fails until the shelf has nothing of them
    /// any more. Of series that stay by that, what the shelf had up to then may be gone after a restart.
    pub fn forget_series(&self, wanted: &Forget<'_>) -> Result<Vec<Arc<str>>> {
        // Nothing is written meanwhile.
        let mut keeper = self.keeper.lock();
        let shelf = self.shelf.as_deref();
        // What was to be deleted before: the answer is not yes while some of it is there.
        shelf.map_or(Ok(()), |shelf| self.delete_gone(shelf))?;
        let found: Vec<Arc<Series>> = {
            let table = self.table.read();
            table.values().filter(|series| wanted.fits(&series.name)).cloned().collect()
        };
        // From here on they do not come back, whatever becomes of this process.
        shelf.map_or(Ok(()), |shelf| self.tell_journal(shelf, &found, &mut keeper))?;
        let mut forgotten = Vec::new();
        for series in found {
            {
                let mut table = self.table.write();
                // Unless it made room for another one since.
                if !table.get(&series.name).is_some_and(|there| Arc::ptr_eq(there, &series)) {
                    continue;
                }
                table.remove(&series.name);
                self.removed(&series);
            }
            forgotten.push(Arc::clone(&series.name));
            let many = self.gone.lock().len() >= DELETE_AT;
            if let (Some(shelf), true) = (shelf, many) {
                self.delete_gone(shelf)?;
            }
        }
        shelf.map_or(Ok(()), |shelf| self.delete_gone(shelf))?;
        Ok(forgotten)
    }

    /// Rows of these series in records so far count no more.
    fn tell_journal(
        &self,
        shelf: &dyn Shelf,
        series: &[Arc<Series>],
        keeper: &mut Keeper,
    ) -> Result<()> {
        let steps = std::iter::once(0).chain(self.policy.levels.iter().map(|level| level.step_s));
        let steps: Vec<i64> = steps.map(|step| self.policy.ticks(step)).collect();
        for (numbers, step) in keeper.numbers.iter_mut().zip(steps) {
            for some in series.chunks(RECORD_SERIES) {
                let mut record = format::begin_record();
                some.iter().for_each(|one| format::add_void(&mut record, &self.heading(one, step)));
                format::end_record(&mut record);
                // Later than any block says that was written before.
                numbers.take()?;
                let number = numbers.take()?;
                shelf.put(&record_key(step, number), &record)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::time::Timestamp;
    use crate::monitor::series::{Appended, HistoryPolicy, MemoryShelf};

    fn at(s: u64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_secs(s)
    }

    #[test]
    fn families_leave_labels_and_digits_out() {
        assert_eq!(family("jobs_total{user=\"7\"}"), "jobs_total");
        assert_eq!(family("queue_17_length_2"), "queue_#_length_#");
        let (labels, none) = ([("a", "x,b=\"y\"")], BTreeMap::new());
        let name = format!("s{{a={:?},c=\"z\"}}", labels[0].1);
        assert!(has_label(&name, "a", labels[0].1) && has_label(&name, "c", "z"));
        assert!(!has_label(&name, "b", "y") && !has_label("s", "a", "x"));
        // What Rust writes otherwise than Prometheus: a space of no width.
        let value = "a\u{200b}\"\\b";
        for name in ["s{a=\"a\u{200b}\\\"\\\\b\"}".to_owned(), format!("s{{a={value:?}}}")] {
            assert!(has_label(&name, "a", value) && !has_label(&name, "a", "a"), "{name}");
        }
        assert!(Forget { series: "s*", labels: &none }.fits(&name));
        assert!(!Forget { series: "s", labels: &none }.fits(&name));
    }

    #[test]
    fn others_are_refused_first_and_what_is_forgotten_makes_room() {
        let policy = HistoryPolicy { series: 10, ..HistoryPolicy::default() };
        let history = History::new(policy).unwrap();
        let few = Room { most: 7, own: false };
        for i in 0..8 {
            let name = format!("user_{i}_jobs");
            assert_eq!(
                history.append_within(&name, at(1), 1.0, true, few) == Appended::Kept,
                i < 7
            );
        }
        let status = history.status();
        assert_eq!((status.series, status.most, status.no_room), (7, 10, 1));
        assert_eq!(status.refused, ["user_7_jobs"]);
        assert_eq!((&*status.families[0].family, status.families[0].series), ("user_#_jobs", 7));
        let error = history.full(7).to_string();
        for part in
            ["most=7", "series_that_there_are=7", "left_to_the_kernels_own=3", "user_#_jobs (7)"]
        {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert_eq!(history.append("cpu_used_ratio", at(1), 1.0), Appended::Kept);
        let labels = BTreeMap::new();
        let forget = |series| history.forget_series(&Forget { series, labels: &labels }).unwrap();
        assert_eq!(forget("user_3_jobs").len(), 1);
        assert_eq!(forget("user_3_jobs").len(), 0);
        assert_eq!(forget("user_*").len(), 6);
        assert_eq!(history.append_within("other", at(2), 1.0, true, few), Appended::Kept);
        assert_eq!(history.status().families[0].series, 1);
    }

    #[test]
    fn what_is_idle_makes_no_room_for_others_where_it_is_the_kernels_own() {
        let overflow = Overflow::Idle;
        let policy = HistoryPolicy { series: 4, overflow, ..HistoryPolicy::default() };
        let history = History::new(policy).unwrap();
        let [own, others] = [Room { most: 4, own: true }, Room { most: 3, own: false }];
        let add =
            |name: &str, second, room| history.append_within(name, at(second), 1.0, true, room);
        for (second, name) in (1..).zip(["cpu", "memory", "disk"]) {
            assert_eq!(add(name, second, own), Appended::Kept);
        }
        assert_eq!(
            add("job_1", 4, others),
            Appended::NoRoom,
            "all that there are are the kernel's"
        );
        assert_eq!(add("load", 5, own), Appended::Kept);
        assert_eq!(
            history
                .forget_series(&Forget { series: "disk", labels: &BTreeMap::new() })
                .unwrap()
                .len(),
            1
        );
        assert_eq!(
            history
                .forget_series(&Forget { series: "load", labels: &BTreeMap::new() })
                .unwrap()
                .len(),
            1
        );
        for (second, name) in (6..).zip(["job_1", "job_2", "job_3"]) {
            assert_eq!(add(name, second, others), Appended::Kept);
        }
        let names: Vec<_> = history.series("", 9).into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["cpu", "job_3", "memory"]);
        // What was read is the kernel's once it has measured it again.
        let policy = history.policy().clone();
        let history = History::new(policy).unwrap();
        history.append("cpu", at(1), 1.0);
        let add =
            |name: &str, second, room| history.append_within(name, at(second), 1.0, true, room);
        add("cpu", 2, own);
        for (second, name) in (3..).zip(["job_1", "job_2", "job_3"]) {
            assert_eq!(add(name, second, others), Appended::Kept);
        }
        assert_eq!(history.series("cpu", 9).len(), 1);
    }

    #[test]
    fn what_is_forgotten_is_forgotten_on_the_shelf_too() {
        let policy = HistoryPolicy { raw_block_s: 60, ..HistoryPolicy::default() };
        let shelf = MemoryShelf::default();
        let open = || History::open(policy.clone(), Box::new(shelf.clone())).unwrap();
        let history = open();
        let names = ["kept", "gone{user=\"a\"}", "gone{user=\"b\"}"];
        for second in 0..400 {
            for name in names {
                history.append(name, at(second), second as f64);
            }
            if second % 100 == 99 {
                history.flush(at(second)).unwrap();
            }
        }
        let labels = BTreeMap::from([("user".to_owned(), "b".to_owned())]);
        let gone = history.forget_series(&Forget { series: "gone*", labels: &labels }).unwrap();
        assert_eq!(gone.iter().map(|name| &**name).collect::<Vec<_>>(), [names[2]]);
        // As if the process had been killed.
        drop(history);
        let history = open();
        assert_eq!(history.status().damaged + history.status().foreign, 0);
        let there: Vec<String> = history.series("", 9).into_iter().map(|one| one.name).collect();
        assert_eq!(there, [names[1], names[0]]);
        assert_eq!(history.points(names[0], 999).len(), 400);
        let blocks =
            |shelf: &MemoryShelf| shelf.list("block/gone{user=\"b", None, 99).unwrap().len();
        assert_eq!(blocks(&shelf), 0);
        // It comes again, with times that it had before as well, and stays.
        assert_eq!(history.append(names[2], at(300), 7.0), Appended::Kept);
        history.flush(at(400)).unwrap();
        drop(history);
        let history = open();
        let points = history.points(names[2], 999);
        assert_eq!(
            points.iter().map(|one| (one.at, one.value)).collect::<Vec<_>>(),
            [(at(300), 7.0)]
        );
    }
}

//! Worlds in which an allocator has to find out who is best: scores of language models on real prompts, of
//! which it sees that of the chosen one alone.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use sutazai_core::agent::route::{Allocator, Arm, Ask, RoutePolicy};
use sutazai_core::base::time::Moment;

/// Rows, what is known of each, and how good each model would be for it.
pub struct Table {
    pub models: Vec<String>,
    pub features: Vec<Vec<f64>>,
    pub scores: Vec<Vec<f64>>,
    /// Which group of tasks a row is of.
    pub clusters: Vec<usize>,
}

/// Where the corpora are. `None`, and a message, where they are absent; a panic where they were asked for.
pub fn corpus(file: &str) -> Option<PathBuf> {
    let asked = std::env::var_os("SUTAZAI_CORPUS");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = asked.as_ref().map_or_else(|| root.join("../shared/corpus"), |f| root.join(f));
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    assert!(asked.is_none(), "SUTAZAI_CORPUS is set, and {} is not there", path.display());
    println!("skipped: no {}", path.display());
    None
}

/// Reads `routing/model_scores.csv`: features are one-hot cluster and log2(prompt_chars).
pub fn read_models(path: &Path) -> Table {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let models = lines.next().unwrap().split(',').skip(3).map(str::to_owned).collect();
    let rows: Vec<Vec<f64>> =
        lines.map(|l| l.split(',').map(|v| v.parse().unwrap()).collect()).collect();
    let clusters: Vec<usize> = rows.iter().map(|r| r[1] as usize).collect();
    let groups = clusters.iter().max().unwrap() + 1;
    let features = rows
        .iter()
        .map(|row| {
            let mut features = vec![0.0; groups];
            features[row[1] as usize] = 1.0;
            features.push(row[2].max(1.0).log2());
            features
        })
        .collect();
    Table { models, features, scores: rows.iter().map(|r| r[3..].to_vec()).collect(), clusters }
}

/// Reads a table of features with a class in the last column: choosing the class is worth 1.
pub fn read_classes(path: &Path) -> Table {
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<Vec<f64>> =
        text.lines().map(|l| l.split(',').map(|v| v.parse().unwrap()).collect()).collect();
    let clusters: Vec<usize> = rows.iter().map(|r| *r.last().unwrap() as usize).collect();
    let classes = clusters.iter().max().unwrap() + 1;
    let score = |class: &usize| (0..classes).map(|c| f64::from(u8::from(c == *class))).collect();
    Table {
        models: (0..classes).map(|c| format!("class-{c}")).collect(),
        features: rows.iter().map(|r| r[..r.len() - 1].to_vec()).collect(),
        scores: clusters.iter().map(score).collect(),
        clusters,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// Nothing changes.
    Stationary,
    /// From the middle on the best arm's rewards are 0.
    BestFails,
    /// From the middle on they are half of what they were.
    BestHalves,
    /// From the middle on the second best arm succeeds nine times out of ten.
    SecondImproves,
    /// From the middle on the best arm's rewards are 0 in the group of tasks that it is best at.
    DriftInOneCluster,
    /// The best arm comes in the middle.
    ArmAdded,
    /// Rewards come 50 steps late, and one in five never.
    Delayed,
}

impl World {
    pub const ALL: [Self; 7] = [
        Self::Stationary,
        Self::BestFails,
        Self::BestHalves,
        Self::SecondImproves,
        Self::DriftInOneCluster,
        Self::ArmAdded,
        Self::Delayed,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Stationary => "stationary",
            Self::BestFails => "best_fails",
            Self::BestHalves => "best_halves",
            Self::SecondImproves => "second_improves",
            Self::DriftInOneCluster => "drift_in_one_cluster",
            Self::ArmAdded => "arm_added",
            Self::Delayed => "delayed",
        }
    }
}

/// Mean rewards of one pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub all: f64,
    pub second_half: f64,
    /// Of the first 300 steps of the second half.
    pub next_300: f64,
    /// Of the last quarter, how often the second arm was chosen or one that is as good or better for the
    /// row's group of tasks.
    pub second_or_better: f64,
}

/// Runs an allocator of the default policy through a world, rows in the order of `order`.
pub fn run(table: &Table, world: World, order: &[usize], seed: u64) -> Figures {
    let ranks = ranks(table);
    let (best, second) = (ranks[0], ranks[1]);
    let by_cluster = by_cluster(table);
    let home = (0..by_cluster.len())
        .max_by(|&a, &b| by_cluster[a][best].total_cmp(&by_cluster[b][best]))
        .unwrap();
    let half = order.len() / 2;
    let mut luck = Luck(seed ^ 0x5eed);
    let mut allocator = Allocator::new(RoutePolicy::default(), seed).unwrap();
    let mut arms: Vec<Arm<'_>> = table.models.iter().map(|m| Arm::new(m)).collect();
    let mut late = VecDeque::new();
    let (mut sums, mut good, mut last_quarter) = ([0.0; 3], 0.0, 0.0);
    for (step, &row) in order.iter().enumerate() {
        let changed = step >= half;
        arms[best].available = changed || world != World::ArmAdded;
        let ask = Ask { features: &table.features[row], ..Ask::new("prompts", &arms) };
        let now = Moment::from_nanos(step as u64 * 1_000_000_000);
        let decision = allocator.decide(now, &ask).unwrap();
        let (arm, cluster) = (decision.index, table.clusters[row]);
        let mut reward = table.scores[row][arm];
        // Drawn at every step, so that chance is the same whatever is chosen.
        let drawn = luck.unit();
        match world {
            World::BestFails if changed && arm == best => reward = 0.0,
            World::BestHalves if changed && arm == best => reward *= 0.5,
            World::SecondImproves if changed && arm == second => {
                reward = f64::from(u8::from(drawn < 0.9));
            }
            World::DriftInOneCluster if changed && arm == best && cluster == home => reward = 0.0,
            _ => {}
        }
        sums[0] += reward;
        if changed {
            sums[1] += reward;
        }
        if changed && step < half + 300 {
            sums[2] += reward;
        }
        if step >= order.len() * 3 / 4 {
            last_quarter += 1.0;
            if arm == second || by_cluster[cluster][arm] >= 0.9 {
                good += 1.0;
            }
        }
        if world == World::Delayed {
            late.push_back((decision.number, reward, drawn < 0.2));
            if late.len() > 50
                && let Some((number, reward, missing)) = late.pop_front()
                && !missing
            {
                let _ = allocator.reward(number, reward);
            }
        } else {
            let _ = allocator.reward(decision.number, reward);
        }
    }
    Figures {
        all: sums[0] / order.len() as f64,
        second_half: sums[1] / (order.len() - half) as f64,
        next_300: sums[2] / 300.0,
        second_or_better: good / last_quarter,
    }
}

/// A shuffle that follows from a seed.
pub fn shuffle(rows: usize, seed: u64) -> Vec<usize> {
    let mut luck = Luck(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5bd1_e995);
    let mut order: Vec<usize> = (0..rows).collect();
    for i in (1..rows).rev() {
        order.swap(i, (luck.unit() * (i + 1) as f64) as usize);
    }
    order
}

/// The mean, and half the width of its 95 % interval by Student's t.
pub fn interval(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    // The 97.5 % quantile for 19 degrees of freedom, the 20 seeds of the benches; for fewer it is too small.
    (mean, 2.093 * (variance / n).sqrt())
}

/// Arms from the best mean score to the worst.
fn ranks(table: &Table) -> Vec<usize> {
    let mean = |arm: usize| table.scores.iter().map(|s| s[arm]).sum::<f64>();
    let mut ranks: Vec<usize> = (0..table.models.len()).collect();
    ranks.sort_by(|&a, &b| mean(b).total_cmp(&mean(a)));
    ranks
}

fn by_cluster(table: &Table) -> Vec<Vec<f64>> {
    let clusters = table.clusters.iter().max().unwrap() + 1;
    let mut means = vec![vec![0.0; table.models.len()]; clusters];
    let mut rows = vec![0.0; clusters];
    for (scores, &cluster) in table.scores.iter().zip(&table.clusters) {
        rows[cluster] += 1.0;
        for (mean, score) in means[cluster].iter_mut().zip(scores) {
            *mean += score;
        }
    }
    for (means, rows) in means.iter_mut().zip(rows) {
        means.iter_mut().for_each(|m| *m /= rows);
    }
    means
}

/// SplitMix64.
pub struct Luck(pub u64);

impl Luck {
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

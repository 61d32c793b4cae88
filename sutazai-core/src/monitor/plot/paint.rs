//! Painting a plot, on whatever plotters can draw on.

use plotters::backend::DrawingBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind};
use plotters::element::{Circle, DashedPathElement, PathElement, Polygon, Rectangle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color as _, IntoFont as _, RGBAColor, RGBColor, ShapeStyle, TextStyle, WHITE,
};

use super::axis;
use super::lines::{Point, finite, parts, seen};
use super::{Mark, Plot, text};

/// The family of texts: the one that is drawn with, then whatever is like it where SVG is looked at.
const FONT: &str = "Hack, DejaVu Sans Mono, Menlo, Consolas, monospace";

/// Of M. Okabe and K. Ito's set: blue, bluish green, vermilion.
const PAST: RGBColor = RGBColor(0, 114, 178);
const AHEAD: RGBColor = RGBColor(0, 158, 115);
const ODD: RGBColor = RGBColor(213, 94, 0);
const TEXT: RGBColor = RGBColor(40, 40, 40);
const QUIET: RGBColor = RGBColor(95, 95, 95);
const GRID: RGBColor = RGBColor(228, 228, 228);
const FRAME: RGBColor = RGBColor(140, 140, 140);

/// Anomalies that are drawn, at most: the most unusual ones.
const MARKS: usize = 500;
/// Pixels of an em of the texts.
const LARGE: i32 = 15;
const SMALL: i32 = 12;
/// Pixels around everything, and above and below the frame.
const EDGE: i32 = 14;
const ABOVE: i32 = 66;
const BELOW: i32 = 50;

/// What whatever is painted on does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surface {
    /// It has texts, and joins lines well.
    Vectors,
    /// It has neither.
    Pixels,
}

type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;
type Place = (i32, i32);

pub(super) struct Painter<'a, B: DrawingBackend> {
    plot: &'a Plot,
    area: &'a DrawingArea<B, Shift>,
    surface: Surface,
    /// Units of a pixel.
    unit: i32,
    past: Vec<Vec<Point>>,
    ahead: Vec<Point>,
    /// Time, lower and upper end.
    band: Vec<(i64, f64, f64)>,
    marks: Vec<Mark>,
    span: Span,
}

/// What the frame shows, and where it stands.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    from: i64,
    to: i64,
    low: f64,
    high: f64,
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
}

impl Span {
    fn x(&self, at: i64) -> i32 {
        let share = (at as f64 - self.from as f64) / (self.to as f64 - self.from as f64);
        self.left + (share.clamp(0.0, 1.0) * f64::from(self.right - self.left)).round() as i32
    }

    fn y(&self, value: f64) -> i32 {
        let share = (value - self.low) / (self.high - self.low);
        self.bottom - (share.clamp(0.0, 1.0) * f64::from(self.bottom - self.top)).round() as i32
    }

    fn place(&self, (at, value): Point) -> Place {
        (self.x(at), self.y(value))
    }
}

impl<'a, B: DrawingBackend> Painter<'a, B> {
    /// `unit` are units of the area to a pixel of the plot.
    pub(super) fn new(
        plot: &'a Plot,
        area: &'a DrawingArea<B, Shift>,
        surface: Surface,
        unit: u32,
    ) -> Self {
        let past = parts(&plot.past);
        let mut marks: Vec<Mark> = (plot.marks.iter())
            .filter_map(|mark| Some(Mark { value: finite(mark.value)?, ..*mark }))
            .collect();
        marks.sort_by(|one, other| other.score.total_cmp(&one.score));
        marks.truncate(MARKS);
        let (mut ahead, mut band) = (Vec::new(), Vec::new());
        if let Some(plot) = &plot.ahead {
            let step = i64::try_from(plot.step_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
            let at = |i: usize| {
                let i = i64::try_from(i).unwrap_or(i64::MAX);
                plot.from.as_nanos().saturating_add(step.saturating_mul(i))
            };
            let points = plot.forecast.point.iter().enumerate();
            ahead = points.filter_map(|(i, value)| Some((at(i), finite(*value)?))).collect();
            if let Some(interval) = plot.forecast.intervals.first() {
                let ends = interval.lower.iter().zip(&interval.upper).enumerate();
                band = ends
                    .filter_map(|(i, (low, high))| Some((at(i), finite(*low)?, finite(*high)?)))
                    .collect();
            }
        }
        let unit = i32::try_from(unit).unwrap_or(1);
        let mut painter =
            Self { plot, area, surface, unit, past, ahead, band, marks, span: Span::default() };
        painter.span = painter.lay_out();
        painter
    }

    pub(super) fn paint(&self) -> Drawn<B> {
        self.area.fill(&WHITE)?;
        self.title()?;
        self.legend()?;
        self.grid()?;
        if self.is_empty() {
            let middle =
                ((self.span.left + self.span.right) / 2, (self.span.top + self.span.bottom) / 2);
            return self.text("no data", SMALL, QUIET, HPos::Center, middle);
        }
        self.draw_band()?;
        self.draw_past()?;
        self.draw_ahead()?;
        self.frame()?;
        self.draw_marks()
    }

    fn is_empty(&self) -> bool {
        self.past.is_empty() && self.ahead.is_empty() && self.marks.is_empty()
    }

    /// What is shown, and where its frame stands: the labels of values stand left of it.
    fn lay_out(&self) -> Span {
        let values = || self.past.iter().flatten().chain(&self.ahead).map(|point| point.1);
        let values = || values().chain(self.marks.iter().map(|mark| mark.value));
        let (low, high) =
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        // An interval may be so wide that nothing else would be seen: it is cut.
        let wide = (high - low).max(high.abs().max(low.abs()) * 0.1);
        let within = |end: f64| end.clamp(low - wide, high + wide);
        let bottom = self.band.iter().map(|band| within(band.1)).fold(low, f64::min);
        let top = self.band.iter().map(|band| within(band.2)).fold(high, f64::max);
        let (low, high) = with_room(bottom, top);

        let times = || {
            let line = self.past.iter().flatten().chain(&self.ahead).map(|point| point.0);
            line.chain(self.marks.iter().map(|mark| mark.at.as_nanos()))
        };
        let (from, to) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
        // A single moment stands in the middle.
        let (from, to) = match from < to {
            true => (from, to),
            false => (from.saturating_sub(30_000_000_000), to.saturating_add(30_000_000_000)),
        };

        let (width, height) = (self.plot.width as i32, self.plot.height as i32);
        let mut span = Span {
            from,
            to,
            low,
            high,
            left: 0,
            right: (width - 3 * EDGE) * self.unit,
            top: ABOVE * self.unit,
            bottom: (height - BELOW) * self.unit,
        };
        let labels = self.values(&span);
        let widest = labels.iter().map(|tick| self.wide(&tick.text, SMALL)).max().unwrap_or(0);
        span.left = EDGE * self.unit + widest + 8 * self.unit;
        span
    }

    fn values(&self, span: &Span) -> Vec<axis::Tick<f64>> {
        let most = (span.bottom - span.top) / (40 * self.unit);
        axis::values(
            &self.plot.unit,
            span.low,
            span.high,
            usize::try_from(most.max(2)).unwrap_or(2),
        )
    }

    fn title(&self) -> Drawn<B> {
        let room = (self.plot.width as i32 - 2 * EDGE) * self.unit;
        let title = self.cut(plain(&self.plot.title), room, LARGE);
        let place = (EDGE * self.unit, 19 * self.unit);
        self.text(&title, LARGE, TEXT, HPos::Left, place)?;
        let place = (EDGE * self.unit, self.row());
        self.text(&plain(&self.plot.unit.name), SMALL, QUIET, HPos::Left, place)
    }

    /// Where the legend and the unit stand.
    fn row(&self) -> i32 {
        (ABOVE - 16) * self.unit
    }

    /// What is what, from the right.
    fn legend(&self) -> Drawn<B> {
        let mut right = self.span.right;
        let mut entries: Vec<(&str, String)> = Vec::new();
        if !self.marks.is_empty() {
            entries.push(("odd", "unusual (likelihood)".to_owned()));
        }
        let level = self.plot.ahead.as_ref().and_then(|ahead| ahead.forecast.intervals.first());
        if let Some(interval) = level.filter(|_| !self.band.is_empty()) {
            // 95 % and 99.9 %.
            let percent = (interval.level * 1e4).round() / 100.0;
            entries.push(("band", format!("{percent} %")));
        }
        if !self.ahead.is_empty() {
            entries.push(("ahead", "expected".to_owned()));
        }
        if !self.past.is_empty() {
            entries.push(("past", "measured".to_owned()));
        }
        let unit_ends = EDGE * self.unit + self.wide(&self.plot.unit.name, SMALL);
        for (what, text) in entries {
            let wide = self.wide(&text, SMALL);
            let (at, sign) = (right - wide, right - wide - 34 * self.unit);
            // A narrow picture has no room for all of it.
            if sign < unit_ends + 8 * self.unit {
                break;
            }
            self.text(&text, SMALL, TEXT, HPos::Left, (at, self.row()))?;
            self.sign(what, (sign, self.row()))?;
            right = sign - 18 * self.unit;
        }
        Ok(())
    }

    /// The sign of an entry: 26 pixels wide, in the middle of its row.
    fn sign(&self, what: &str, (x, y): Place) -> Drawn<B> {
        let end = x + 26 * self.unit;
        let half = 5 * self.unit;
        match what {
            "odd" => self.ring((x + 13 * self.unit, y)),
            "band" => {
                self.area.draw(&Rectangle::new([(x, y - half), (end, y + half)], faint().filled()))
            }
            "ahead" => self.dashes(vec![(x, y), (end, y)], self.line(AHEAD)),
            _ => self.area.draw(&PathElement::new(vec![(x, y), (end, y)], self.line(PAST))),
        }
    }

    fn grid(&self) -> Drawn<B> {
        let span = &self.span;
        let grid = ShapeStyle::from(&GRID).stroke_width(self.unit.unsigned_abs());
        for tick in self.values(span) {
            let y = span.y(tick.at);
            self.area.draw(&PathElement::new(vec![(span.left, y), (span.right, y)], grid))?;
            let beside = (span.left - 8 * self.unit, y);
            self.text(&tick.text, SMALL, QUIET, HPos::Right, beside)?;
        }
        if self.is_empty() {
            return self.frame();
        }
        let most = (span.right - span.left) / (110 * self.unit);
        for tick in axis::times(span.from, span.to, usize::try_from(most.max(1)).unwrap_or(1)) {
            let x = span.x(tick.at);
            self.area.draw(&PathElement::new(vec![(x, span.top), (x, span.bottom)], grid))?;
            let half = self.wide(&tick.text, SMALL) / 2;
            let fits = x - half >= 0 && x + half <= self.plot.width as i32 * self.unit;
            if fits {
                let below = (x, span.bottom + 14 * self.unit);
                self.text(&tick.text, SMALL, QUIET, HPos::Center, below)?;
            }
        }
        let below = (span.right, span.bottom + 34 * self.unit);
        self.text(&axis::days(span.from, span.to), SMALL, QUIET, HPos::Right, below)?;
        self.frame()
    }

    fn frame(&self) -> Drawn<B> {
        let span = &self.span;
        let style = ShapeStyle::from(&FRAME).stroke_width(self.unit.unsigned_abs());
        let corner =
            vec![(span.left, span.top), (span.left, span.bottom), (span.right, span.bottom)];
        self.area.draw(&PathElement::new(corner, style))
    }

    fn draw_past(&self) -> Drawn<B> {
        for part in &self.past {
            let points: Vec<Place> = seen(part, |at| self.span.x(at) / self.unit)
                .into_iter()
                .map(|point| self.span.place(point))
                .collect();
            match points.as_slice() {
                // Alone between gaps.
                [point] => self.area.draw(&Circle::new(*point, 2 * self.unit, PAST.filled()))?,
                _ => self.path(points, self.line(PAST))?,
            }
        }
        Ok(())
    }

    fn draw_band(&self) -> Drawn<B> {
        let upper = self.band.iter().map(|(at, _, high)| self.span.place((*at, *high)));
        let lower = self.band.iter().rev().map(|(at, low, _)| self.span.place((*at, *low)));
        let around: Vec<Place> = upper.chain(lower).collect();
        if around.len() < 4 {
            return Ok(());
        }
        self.area.draw(&Polygon::new(around, faint().filled()))
    }

    /// What is expected, and a line where that begins.
    fn draw_ahead(&self) -> Drawn<B> {
        let Some(first) = self.ahead.first() else { return Ok(()) };
        let x = self.span.x(first.0);
        let style = ShapeStyle::from(&FRAME).stroke_width(self.unit.unsigned_abs());
        self.dashes(vec![(x, self.span.top), (x, self.span.bottom)], style)?;
        let points: Vec<Place> = seen(&self.ahead, |at| self.span.x(at) / self.unit)
            .into_iter()
            .map(|point| self.span.place(point))
            .collect();
        match points.as_slice() {
            [point] => self.area.draw(&Circle::new(*point, 2 * self.unit, AHEAD.filled())),
            _ => self.dashes(points, self.line(AHEAD)),
        }
    }

    /// A ring around each, and beside it its score where that stands in nobody's way: the most unusual first.
    fn draw_marks(&self) -> Drawn<B> {
        let mut taken: Vec<[i32; 4]> = Vec::new();
        let places: Vec<Place> = (self.marks.iter())
            .map(|mark| self.span.place((mark.at.as_nanos(), mark.value)))
            .collect();
        let around = 7 * self.unit;
        let rings = places.iter().map(|(x, y)| [x - around, y - around, x + around, y + around]);
        taken.extend(rings);
        let own = taken.len();
        for (mark, place) in self.marks.iter().zip(places) {
            self.ring(place)?;
            if !mark.score.is_finite() {
                continue;
            }
            let text = format!("{:.2}", mark.score);
            let (wide, high) = (self.wide(&text, SMALL), 13 * self.unit);
            let (x, y) = place;
            let apart = 9 * self.unit;
            let corners = [
                (x - wide / 2, y - apart - high),
                (x + apart, y - high / 2),
                (x - apart - wide, y - high / 2),
                (x - wide / 2, y + apart),
            ];
            let free = corners.into_iter().map(|(x, y)| [x, y, x + wide, y + high]).find(|label| {
                let inside = label[0] >= self.span.left
                    && label[2] <= self.plot.width as i32 * self.unit
                    && label[1] >= self.span.top - 12 * self.unit
                    && label[3] <= self.span.bottom;
                inside && !taken.iter().any(|other| overlap(label, other))
            });
            let Some(label) = free.filter(|_| taken.len() - own < 100) else { continue };
            taken.push(label);
            let [left, top, right, bottom] = label;
            let behind = WHITE.mix(0.75).filled();
            self.area.draw(&Rectangle::new([(left, top), (right, bottom)], behind))?;
            self.text(&text, SMALL, ODD, HPos::Left, (left, (top + bottom) / 2))?;
        }
        Ok(())
    }

    fn ring(&self, place: Place) -> Drawn<B> {
        let style = ShapeStyle::from(&ODD).stroke_width((2 * self.unit).unsigned_abs());
        self.area.draw(&Circle::new(place, 5 * self.unit, style))
    }

    fn dashes(&self, points: Vec<Place>, style: ShapeStyle) -> Drawn<B> {
        let (dash, gap) = (6 * self.unit, 4 * self.unit);
        self.area.draw(&DashedPathElement::new(points, dash, gap, style))
    }

    /// One pixel and a half.
    fn line(&self, color: RGBColor) -> ShapeStyle {
        let stroke_width = (self.unit * 3 / 2).unsigned_abs();
        ShapeStyle { color: color.to_rgba(), filled: false, stroke_width }
    }

    /// A line through places. Joints of thick lines reach far beyond sharp corners among pixels: each part is a line of its
    /// own there.
    fn path(&self, places: Vec<Place>, style: ShapeStyle) -> Drawn<B> {
        if self.surface == Surface::Vectors {
            return self.area.draw(&PathElement::new(places, style));
        }
        places
            .windows(2)
            .try_for_each(|part| self.area.draw(&PathElement::new(part.to_vec(), style)))
    }

    /// A text whose middle is at the height of its place.
    fn text(&self, text: &str, em: i32, color: RGBColor, h: HPos, (x, y): Place) -> Drawn<B> {
        if self.surface == Surface::Vectors {
            // plotters counts in lines of 1.24 em.
            let font = (FONT, f64::from(em * self.unit) * 1.24).into_font();
            let pos = Pos::new(h, VPos::Center);
            let style = TextStyle { font, color: color.to_backend_color(), pos };
            return self.area.draw_text(text, &style, (x, y));
        }
        let wide = self.wide(text, em);
        let left = match h {
            HPos::Left => x,
            HPos::Center => x - wide / 2,
            HPos::Right => x - wide,
        };
        let mut drawn = Ok(());
        text::draw(text, (em * self.unit) as f32, (left, y), |x, y, covered| {
            let inside = x >= 0 && y >= 0 && covered > 0.0;
            if inside && drawn.is_ok() {
                drawn = self.area.draw_pixel((x, y), &color.mix(f64::from(covered)));
            }
        });
        drawn
    }

    /// How wide a text is.
    fn wide(&self, text: &str, em: i32) -> i32 {
        text::width(text, (em * self.unit) as f32).ceil() as i32
    }

    /// As much of a text as there is room for.
    fn cut(&self, mut text: String, room: i32, em: i32) -> String {
        if self.wide(&text, em) <= room {
            return text;
        }
        // Every character is as wide as the others.
        let each = self.wide("0", em).max(1);
        let most = usize::try_from(room / each).unwrap_or(0).saturating_sub(1);
        text = text.chars().take(most).collect();
        text.push('…');
        text
    }
}

/// A text without what none may have: control characters, and the two that XML knows of besides (`Char` of XML 1.0).
fn plain(text: &str) -> String {
    let none = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if none(c) { ' ' } else { c }).collect()
}

/// Room around values; where they are far from zero none is added beyond it.
fn with_room(low: f64, high: f64) -> (f64, f64) {
    if low == high {
        let half = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
        return (low - half, high + half);
    }
    let room = (high - low) * 0.06;
    // What begins at about zero begins there.
    let near = low >= 0.0 && low <= (high - low) * 0.5;
    (if near { 0.0 } else { low - room }, high + room)
}

fn faint() -> RGBAColor {
    AHEAD.mix(0.22)
}

/// Whether two boxes (left, top, right, bottom) have a point in common.
fn overlap(one: &[i32; 4], other: &[i32; 4]) -> bool {
    one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3]
}

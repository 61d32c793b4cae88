//! Texts as they are measured and, where nobody else does so, drawn. The font is Hack, every character of which is as wide as
//! the others: what is measured holds for whatever monospaced font is used where SVG is looked at.

use std::sync::LazyLock;

use ab_glyph::{Font as _, FontRef, Glyph, PxScale, ScaleFont as _, point};

static HACK: LazyLock<Option<FontRef<'static>>> =
    LazyLock::new(|| FontRef::try_from_slice(epaint_default_fonts::HACK_REGULAR).ok());

/// How wide a text is whose em is so many units.
pub(super) fn width(text: &str, em: f32) -> f32 {
    let Some(font) = HACK.as_ref() else { return 0.0 };
    let font = font.as_scaled(scale(font, em));
    text.chars().map(|c| font.h_advance(font.glyph_id(c))).sum()
}

/// The points of a text that begins at the left and stands in the middle of `y`, and how much of each is covered.
pub(super) fn draw(text: &str, em: f32, (x, y): (i32, i32), mut each: impl FnMut(i32, i32, f32)) {
    let Some(font) = HACK.as_ref() else { return };
    let scaled = font.as_scaled(scale(font, em));
    // Half of what a capital has above the line.
    let line = y as f32 + em * 0.36;
    let mut at = x as f32;
    for c in text.chars() {
        let id = scaled.glyph_id(c);
        let glyph = Glyph { id, scale: scaled.scale(), position: point(at, line) };
        at += scaled.h_advance(id);
        let Some(outline) = scaled.outline_glyph(glyph) else { continue };
        let bounds = outline.px_bounds();
        let (left, top) = (bounds.min.x as i32, bounds.min.y as i32);
        outline.draw(|x, y, covered| {
            let part = |pixel: u32| i32::try_from(pixel).unwrap_or(i32::MAX);
            each(left.saturating_add(part(x)), top.saturating_add(part(y)), covered.min(1.0));
        });
    }
}

/// What the crate counts in is the height of a line.
fn scale(font: &FontRef<'_>, em: f32) -> PxScale {
    let units = font.units_per_em().unwrap_or(1.0);
    PxScale::from(em * font.height_unscaled() / units)
}

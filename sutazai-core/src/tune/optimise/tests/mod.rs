mod knobs;
mod search;

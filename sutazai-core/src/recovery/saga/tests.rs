mod bench;
mod bounds;
mod driver;
mod machine;

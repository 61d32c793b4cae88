//! Sets the SONAME, which plain cargo does not: the number is `sutazai_abi_version()`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libsutazai.so.0");
    }
}

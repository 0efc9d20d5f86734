//! The `dolmen` command.

fn main() -> std::process::ExitCode {
    dolmen::cli::main(std::env::args_os())
}

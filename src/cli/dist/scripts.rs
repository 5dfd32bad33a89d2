//! scripts as they are written → the same without what only their readers need; and what a script imports.

use anyhow::{Result, bail};
use oxc_allocator::Allocator;
use oxc_codegen::{Codegen, CodegenOptions};
use oxc_minifier::{CompressOptions, MangleOptions, Minifier, MinifierOptions};
use oxc_parser::{Parser, ParserReturn};
use oxc_span::SourceType;
use whylens::Error;

use super::Files;

/// Shortens every script of a page. Each stays a file of its own, with the names that it exports.
pub fn minify(page: &mut Files) -> Result<()> {
    for (path, bytes) in page {
        if path.ends_with(".js") {
            *bytes = minified(path, bytes)?.into_bytes();
        }
    }
    Ok(())
}

fn minified(path: &str, bytes: &[u8]) -> Result<String> {
    let Ok(text) = str::from_utf8(bytes) else {
        bail!(Error::BadOption(format!(
            "{path} is not UTF-8; save it as such, or add --no-minify"
        )));
    };
    let allocator = Allocator::default();
    let parsed = parse(&allocator, text);
    if let Some(error) = parsed.errors.first() {
        bail!(Error::BadOption(format!(
            "{path} is not JavaScript: {error}; correct it, or add --no-minify"
        )));
    }
    let is_module = parsed.program.source_type.is_module();
    let mut program = parsed.program;
    let options = MinifierOptions {
        compress: Some(CompressOptions::smallest()),
        // The names of a classic script are those of its page or worker.
        mangle: Some(MangleOptions {
            top_level: Some(is_module),
            ..MangleOptions::default()
        }),
    };
    let done = Minifier::new(options).minify(&allocator, &mut program);
    let written = Codegen::new()
        .with_options(CodegenOptions::minify())
        .with_scoping(done.scoping)
        .with_private_member_mappings(done.class_private_mappings)
        .build(&program);
    Ok(written.code)
}

/// The addresses that a script imports from or exports from, in its order; not those of `import()`, which come later.
pub fn imports(script: &str) -> Vec<String> {
    let allocator = Allocator::default();
    let parsed = parse(&allocator, script);
    let mut places: Vec<_> = parsed
        .module_record
        .requested_modules
        .iter()
        .filter_map(|(name, requests)| {
            let real = requests.iter().find(|request| !request.is_type)?;
            Some((real.statement_span.start, name.to_string()))
        })
        .collect();
    places.sort();
    places.into_iter().map(|(_, name)| name).collect()
}

/// A module if it imports or exports, and otherwise a classic script.
fn parse<'a>(allocator: &'a Allocator, text: &'a str) -> ParserReturn<'a> {
    Parser::new(allocator, text, SourceType::unambiguous()).parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_found_in_their_order() {
        let script = "// import './no.js';\nimport './z.js';\nimport {\n  b,\n} from '../b.js';export * from './a.js'\n\
            const c = await import('./later.js');\nimport * as d from './z.js';\n\
            /** @typedef {import('./types.js').T} T */";
        assert_eq!(imports(script), ["./z.js", "../b.js", "./a.js"]);
        assert_eq!(imports("import{a}from\"./a.js\";a()"), ["./a.js"]);
        assert!(imports("self.x = 1;").is_empty());
        assert!(imports("no { script").is_empty());
    }

    #[test]
    fn scripts_lose_what_only_readers_need() {
        let module = "// words\nimport { long } from './a.js';\n/** words */\nexport function shown(number) {\n  \
            const twice = number + number;\n  return long(twice, twice, new URL('./w.js', import.meta.url));\n}\n";
        assert_eq!(
            minified("a.js", module.as_bytes()).unwrap(),
            "import{long as e}from\"./a.js\";export function shown(t){let n=t+t;\
             return e(n,n,new URL(`./w.js`,import.meta.url))}"
        );
    }

    #[test]
    fn a_classic_script_keeps_the_names_that_others_use() {
        let script = "const shared = self.site; function used(value) { return value + shared; }";
        let short = minified("sw.js", script.as_bytes()).unwrap();
        assert!(
            short.contains("shared=self.site") && short.contains("function used("),
            "{short}"
        );
    }

    #[test]
    fn what_is_no_script_is_named() {
        for bytes in ["const = 3;".as_bytes(), b"\xff"] {
            let error = minified("www/own.js", bytes).unwrap_err().to_string();
            assert!(
                error.contains("www/own.js") && error.contains("--no-minify"),
                "{error}"
            );
        }
    }
}

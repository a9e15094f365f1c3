//! QR codes of links: what is served and written is read again by another library.

use std::path::Path;

use serde_json::json;

use crate::api::problem;
use crate::support::{Answer, TestApi, TestDatabase, Waypost};

/// A square picture: whether a pixel is dark.
struct Picture {
    side: usize,
    dark: Vec<bool>,
}

/// A code, cut out of a picture.
#[derive(Debug, PartialEq, Eq)]
struct Code {
    /// Module by module, row by row.
    modules: Vec<bool>,
    /// Modules a side.
    side: usize,
    /// What one module has in the picture, in pixels.
    scale: usize,
    /// The light zone at the left, the top, the right and the bottom, in pixels.
    margins: [usize; 4],
}

impl Picture {
    /// Decodes a PNG file, which must have one bit of grey a pixel.
    fn of_png(file: &[u8]) -> Self {
        let decoder = png::Decoder::new(std::io::Cursor::new(file));
        let mut reader = decoder.read_info().expect("a PNG");
        let mut bytes = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut bytes).expect("pixels");
        assert_eq!(info.color_type, png::ColorType::Grayscale);
        assert_eq!(info.bit_depth, png::BitDepth::One);
        assert_eq!(info.width, info.height);
        let side = usize::try_from(info.width).expect("a size");
        let dark = |x: usize, y: usize| {
            let byte = bytes.get(y * info.line_size + x / 8).expect("a byte of the picture");
            byte >> (7 - x % 8) & 1 == 0
        };
        Self {
            side,
            dark: (0..side * side).map(|place| dark(place % side, place / side)).collect(),
        }
    }

    /// Draws the path of an SVG document, with a pixel for each unit of its view box.
    fn of_svg(document: &str) -> Self {
        let side = attribute(document, "viewBox")
            .strip_prefix("0 0 ")
            .and_then(|size| size.split_once(' '))
            .map(|(width, height)| {
                assert_eq!(width, height);
                number(width)
            })
            .expect("a view box");
        let mut dark = vec![false; side * side];
        let path = attribute(document, " d").strip_suffix('z').expect("an end");
        for rectangle in path.split('z') {
            // M<x> <y>h<length>v1h-<length>
            let rest = rectangle.strip_prefix('M').expect("a beginning");
            let (x, rest) = rest.split_once(' ').expect("x");
            let (y, rest) = rest.split_once('h').expect("y");
            let (length, back) = rest.split_once("v1h-").expect("a height of one module");
            assert_eq!(length, back);
            for x in number(x)..number(x) + number(length) {
                let pixel = dark.get_mut(number(y) * side + x).expect("a unit of the view box");
                assert!(!*pixel, "drawn twice");
                *pixel = true;
            }
        }
        Self { side, dark }
    }

    fn is_dark(&self, x: usize, y: usize) -> bool {
        *self.dark.get(y * self.side + x).expect("a pixel of the picture")
    }

    /// The code in it, whose modules must all be even squares.
    fn code(&self) -> Code {
        let is_light = |line: &usize| (0..self.side).all(|other| !self.is_dark(other, *line));
        let is_light_column = |x: &usize| (0..self.side).all(|y| !self.is_dark(*x, y));
        let top = (0..self.side).take_while(is_light).count();
        let bottom = (0..self.side).rev().take_while(is_light).count();
        let left = (0..self.side).take_while(is_light_column).count();
        let right = (0..self.side).rev().take_while(is_light_column).count();
        // The first row begins with a finder pattern: seven dark modules, and then a light one.
        let finder = (left..self.side).take_while(|x| self.is_dark(*x, top)).count();
        assert_eq!(finder % 7, 0, "a finder pattern of {finder} pixels");
        let scale = finder / 7;
        let side = (self.side - left - right) / scale;
        assert_eq!(side * scale + left + right, self.side);
        assert_eq!(side * scale + top + bottom, self.side);
        for y in top..self.side - bottom {
            for x in left..self.side - right {
                let corner = self.is_dark(x - (x - left) % scale, y - (y - top) % scale);
                assert_eq!(self.is_dark(x, y), corner, "the module at {x}, {y} is not even");
            }
        }
        let module =
            |place: usize| self.is_dark(left + place % side * scale, top + place / side * scale);
        let modules = (0..side * side).map(module).collect();
        Code { modules, side, scale, margins: [left, top, right, bottom] }
    }

    /// Finds the code as a camera would, and reads it.
    fn read(&self) -> String {
        let dark = |x, y| self.is_dark(x, y);
        let mut image = rqrr::PreparedImage::prepare_from_bitmap(self.side, self.side, dark);
        let grids = image.detect_grids();
        let [grid] = &grids[..] else { panic!("{} codes were found", grids.len()) };
        grid.decode().expect("readable").1
    }
}

impl Code {
    /// Its text, and the level of its error correction.
    fn read(&self) -> (String, &'static str) {
        let dark = |x, y| *self.modules.get(y * self.side + x).expect("a module of the code");
        let grid = rqrr::Grid::new(rqrr::SimpleGrid::from_func(self.side, dark));
        let (about, text) = grid.decode().expect("readable");
        let level = match about.ecc_level {
            0 => "M",
            1 => "L",
            2 => "H",
            _ => "Q",
        };
        (text, level)
    }
}

/// What the code in an SVG document says.
pub(crate) fn read_svg(document: &str) -> String {
    Picture::of_svg(document).code().read().0
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|error| panic!("{error} in '{text}'"))
}

/// The first attribute of this name in a document.
fn attribute<'a>(document: &'a str, name: &str) -> &'a str {
    let (_, rest) = document.split_once(&format!("{name}=\"")).expect("the attribute");
    rest.split('"').next().expect("its end")
}

const TARGET: &str = "https://example.com/";

/// A link with a short URL of about 300 characters, which needs a large code; its path in the API.
async fn make_long_link(api: &TestApi) -> (String, String) {
    let host = format!("{}.example", ["a"; 4].map(|letter| letter.repeat(57)).join("."));
    let insert = "INSERT INTO domain (host) VALUES ($1 /* host */)";
    api.database.connect().await.execute(insert, &[&host]).await.expect("a domain");
    let slug = "z".repeat(64);
    let made = api.create(&json!({ "target": TARGET, "slug": slug, "domain": host })).await;
    assert_eq!(made.status, 201, "{made:?}");
    (format!("/v1/links/{slug}"), format!("domain={host}"))
}

async fn make_link(api: &TestApi, slug: &str) {
    let made = api.create(&json!({ "target": TARGET, "slug": slug })).await;
    assert_eq!(made.status, 201, "{made:?}");
}

/// Asks for both pictures with the same parameters.
async fn pictures(api: &TestApi, link: &str, query: &str) -> (Answer, Answer) {
    let png = api.call("GET", &format!("{link}/qr.png?{query}"), "").await;
    let svg = api.call("GET", &format!("{link}/qr.svg?{query}"), "").await;
    for (answer, content_type) in [(&png, "image/png"), (&svg, "image/svg+xml")] {
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        assert_eq!(answer.header("content-type"), content_type);
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    (png, svg)
}

#[tokio::test]
async fn a_code_says_the_short_url_in_both_formats() {
    let api = TestApi::new().await;
    make_link(&api, "spring").await;
    let (long, domain) = make_long_link(&api).await;
    for (link, domain) in [("/v1/links/spring", ""), (&long, &domain)] {
        let shown = api.call("GET", &format!("{link}?{domain}"), "").await.json();
        let short_url = shown["short_url"].as_str().expect("a URL");
        for level in ["", "L", "M", "Q", "H", "q"] {
            let query = match level {
                "" => domain.to_owned(),
                level => format!("{domain}&error_correction={level}"),
            };
            let (png, svg) = pictures(&api, link, &query).await;
            let (png, document) = (Picture::of_png(&png.body), svg.text());
            let (code, drawn) = (png.code(), Picture::of_svg(&document).code());
            let expected = if level.is_empty() { "M".to_owned() } else { level.to_uppercase() };
            assert_eq!(code.read(), (short_url.to_owned(), expected.as_str()));
            assert_eq!(png.read(), short_url);
            assert_eq!((drawn.side, &drawn.modules), (code.side, &code.modules));
            assert_eq!((png.side, attribute(&document, "width")), (512, "512"));
            assert_eq!(drawn.margins, [4; 4]);
            let begin = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"512\" height=\"512\" ";
            assert!(document.starts_with(begin), "{document}");
            assert!(document.contains(&format!("<title>{short_url}</title>")), "{document}");
        }
    }
}

#[tokio::test]
async fn a_picture_has_the_size_and_the_quiet_zone_that_are_asked_for() {
    let api = TestApi::new().await;
    make_link(&api, "spring").await;
    for size in [64, 65, 100, 127, 128, 333, 512, 1_024, 2_047, 2_048] {
        for margin in [0, 1, 4, 9, 16] {
            let query = format!("size={size}&margin={margin}");
            let (png, svg) = pictures(&api, "/v1/links/spring", &query).await;
            let (png, document) = (Picture::of_png(&png.body), svg.text());
            let (code, drawn) = (png.code(), Picture::of_svg(&document).code());
            assert_eq!(code.read().0, "https://go.example/spring", "{query}");
            assert_eq!(png.side, size);
            // The largest whole module, and what is left around it: on each side the half.
            assert_eq!(code.scale, size / (code.side + 2 * margin), "{query}");
            let left = size - code.side * code.scale;
            let halves = [left / 2, left / 2, left.div_ceil(2), left.div_ceil(2)];
            assert_eq!(code.margins, halves, "{query}");
            assert!(code.margins[0] >= margin * code.scale, "{query}");
            assert_eq!((drawn.margins, drawn.scale), ([margin; 4], 1), "{query}");
            assert_eq!((drawn.side, drawn.modules), (code.side, code.modules));
            assert_eq!(attribute(&document, "width"), size.to_string());
            assert_eq!(attribute(&document, "height"), size.to_string());
            if margin == 4 && code.scale > 1 {
                assert_eq!(png.read(), "https://go.example/spring", "{query}");
            }
        }
    }
}

#[tokio::test]
async fn a_parameter_that_is_wrong_is_named_with_what_would_do() {
    let api = TestApi::new().await;
    make_link(&api, "spring").await;
    let sizes = "'size' must be a whole number from 64 to 2048, not ";
    let margins = "'margin' must be a whole number from 0 to 16, not ";
    let levels = "'error_correction' must be L, M, Q or H, not ";
    for (query, detail) in [
        ("size=63", format!("{sizes}'63'; left out, it is 512")),
        ("size=2049", format!("{sizes}'2049'; left out, it is 512")),
        ("size=99999999999", format!("{sizes}'99999999999'; left out, it is 512")),
        ("size=", format!("{sizes}''; left out, it is 512")),
        ("size=512.0", format!("{sizes}'512.0'; left out, it is 512")),
        ("margin=17", format!("{margins}'17'; left out, it is 4")),
        ("margin=-1", format!("{margins}'-1'; left out, it is 4")),
        ("margin=four", format!("{margins}'four'; left out, it is 4")),
        ("error_correction=X", format!("{levels}'X'; left out, it is M")),
        ("error_correction=", format!("{levels}''; left out, it is M")),
        ("size=64&size=65", "the parameter 'size' stands more than once".to_owned()),
        (
            "colour=red",
            "unknown parameter 'colour'; known are: domain, size, margin, error_correction".into(),
        ),
    ] {
        for format in ["svg", "png"] {
            let path = format!("/v1/links/spring/qr.{format}?{query}");
            let answer = api.call("GET", &path, "").await;
            assert_eq!(problem(&answer), (400, "invalid-query".to_owned(), vec![]), "{path}");
            assert_eq!(answer.json()["detail"], detail, "{path}");
        }
    }
}

#[tokio::test]
async fn a_size_with_too_few_pixels_is_refused_with_the_least_that_works() {
    let api = TestApi::new().await;
    let (long, domain) = make_long_link(&api).await;
    for (level, margin) in [("L", 2), ("M", 4), ("H", 16)] {
        for format in ["svg", "png"] {
            let ask = async |size: usize| {
                let options = format!("size={size}&margin={margin}&error_correction={level}");
                api.call("GET", &format!("{long}/qr.{format}?{domain}&{options}"), "").await
            };
            let refusal = ask(64).await;
            assert_eq!(problem(&refusal), (400, "invalid-query".to_owned(), vec![]));
            let detail = refusal.json()["detail"].as_str().expect("a text").to_owned();
            let least = detail.strip_prefix("'size' must be at least ").expect("the parameter");
            let (least, rest) = least.split_once(' ').expect("a number");
            assert_eq!(
                rest,
                "for this code, not 64: a module needs a pixel; or choose a smaller margin or a \
                 lower error correction"
            );
            let least = number(least);
            assert_eq!(ask(least - 1).await.status, 400);
            let answer = ask(least).await;
            assert_eq!(answer.status, 200);
            if format == "png" {
                let code = Picture::of_png(&answer.body).code();
                assert_eq!((code.scale, code.margins), (1, [margin; 4]));
                assert_eq!(code.read().1, level);
            }
        }
    }
}

#[tokio::test]
async fn a_code_is_given_to_those_who_may_see_the_link() {
    let api = TestApi::new().await;
    make_link(&api, "spring").await;
    let narrow = format!("Bearer {}", api.add_key("narrow", &["rewards"]).await);
    for format in ["svg", "png"] {
        let path = format!("/v1/links/spring/qr.{format}");
        assert_eq!(api.send("GET", &path, &[], "").await.status, 401);
        let narrow = [("authorization", narrow.as_str())];
        assert_eq!(api.send("GET", &path, &narrow, "").await.status, 403);
        assert_eq!(api.call("HEAD", &path, "").await.status, 200);
        for elsewhere in [
            format!("/v1/links/autumn/qr.{format}"),
            format!("{path}?domain=no.example"),
            format!("{path}.gz"),
        ] {
            let answer = api.call("GET", &elsewhere, "").await;
            assert_eq!(problem(&answer).1, "not-found", "{elsewhere}");
        }
    }
    // What is switched off can be switched on again, and what was printed is right then.
    let off = api.call("PATCH", "/v1/links/spring", r#"{"disabled": true}"#).await;
    assert_eq!(off.status, 200, "{off:?}");
    let (png, _) = pictures(&api, "/v1/links/spring", "").await;
    assert_eq!(Picture::of_png(&png.body).read(), "https://go.example/spring");
}

/// Runs `waypost link qr` with these arguments: its exit code, and what it printed.
async fn draw(database: &TestDatabase, arguments: &[&str]) -> (Option<i32>, String) {
    let url = database.url();
    let environment =
        [("DATABASE_URL", url.as_str()), ("WAYPOST_EDGE__PUBLIC_URL", "https://go.example/")];
    Waypost::run(&[&["link", "qr"], arguments].concat(), &environment).await
}

fn path_in(directory: &tempfile::TempDir, name: &str) -> String {
    directory.path().join(name).to_str().expect("a plain path").to_owned()
}

#[tokio::test]
async fn the_command_line_writes_the_same_pictures() {
    let api = TestApi::new().await;
    make_link(&api, "spring").await;
    let directory = tempfile::tempdir().expect("a directory");
    let options = ["--size", "300", "--margin", "2", "--error-correction", "h"];
    let query = "size=300&margin=2&error_correction=H";
    let (png, svg) = pictures(&api, "/v1/links/spring", query).await;
    for (name, answer) in [("a.png", png), ("a.svg", svg.clone()), ("A.SVG", svg)] {
        let path = path_in(&directory, name);
        let arguments = [&["spring", "--output", &path], &options[..]].concat();
        let (code, said) = draw(&api.database, &arguments).await;
        assert_eq!((code, said.trim_end()), (Some(0), format!("wrote {path}").as_str()));
        assert!(std::fs::read(&path).expect("a file") == answer.body, "{name}");
    }
}

#[tokio::test]
async fn the_command_line_draws_in_the_terminal() {
    let api = TestApi::new().await;
    make_link(&api, "spring").await;
    let (code, said) = draw(&api.database, &["spring", "--margin", "3"]).await;
    assert_eq!(code, Some(0), "{said}");
    let mut lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.pop(), Some("https://go.example/spring"));
    let lines: Vec<Vec<char>> = lines.iter().map(|line| line.chars().collect()).collect();
    let side = lines[0].len();
    assert_eq!((lines.len(), side), (16, 31));
    let dark = |x: usize, y: usize| match lines[y / 2][x] {
        '█' => true,
        '▀' => y.is_multiple_of(2),
        '▄' => !y.is_multiple_of(2),
        other => {
            assert_eq!(other, ' ');
            false
        }
    };
    let picture =
        Picture { side, dark: (0..side * side).map(|at| dark(at % side, at / side)).collect() };
    let code = picture.code();
    assert_eq!((code.scale, code.margins), (1, [3; 4]));
    assert_eq!(code.read(), ("https://go.example/spring".to_owned(), "M"));
}

#[tokio::test]
async fn the_command_line_says_which_option_is_wrong() {
    let api = TestApi::new().await;
    make_link(&api, "spring").await;
    let (long, domain) = make_long_link(&api).await;
    let (slug, host) = (long.replace("/v1/links/", ""), domain.replace("domain=", ""));
    let directory = tempfile::tempdir().expect("a directory");
    let [gif, bare, png, missing] =
        ["a.gif", "svg", "a.png", "none/a.png"].map(|name| path_in(&directory, name));
    let endings = "'--output <FILE>': the name must end in .svg or .png";
    for (arguments, part) in [
        (&["spring", "--output", &gif][..], endings),
        (&["spring", "--output", &bare], endings),
        (&["spring", "--output", &missing], "none/a.png cannot be written: No such file"),
        (&["spring", "--output", &png, "--size", "63"], "63 is not in 64..=2048"),
        (&["spring", "--output", &png, "--size", "2049"], "2049 is not in 64..=2048"),
        (&["spring", "--margin", "17"], "17 is not in 0..=16"),
        (&["spring", "--error-correction", "X"], "must be L, M, Q or H"),
        (&["spring", "--size", "100"], "--output <FILE>"),
        (&["autumn"], "there is no link 'autumn'"),
        (
            &[&slug, "--domain", &host, "--output", &png, "--size", "64"],
            "--size must be at least 77 for this code, not 64",
        ),
    ] {
        let (code, said) = draw(&api.database, arguments).await;
        assert!(code.is_some_and(|code| code != 0), "{arguments:?}: {said}");
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!Path::new(&png).exists());
}

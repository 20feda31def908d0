/* report_page.h - what a page of HTML consists of: its head and style, tables, pictures that lie in
   files. The style is for telephones and desks, white and dark grounds, and paper. */
#ifndef REPORT_PAGE_H
#define REPORT_PAGE_H

#include "report_picture.h"
#include "report_unit.h"

static const char *const page_style[] = {
    ":root{color-scheme:light dark;--ground:#fff;--ink:#1c2127;--soft:#57606a;--line:#d0d7de;",
    "--shade:#f4f6f8;--link:#0b57b5;--conv:#0072b2;--norm:#00805e;--relu:#c24f00;--gate:#8e5fc7;",
    "--other:#6b7280}",
    "@media (prefers-color-scheme:dark){:root{--ground:#14181d;--ink:#e3e7ec;--soft:#a3adb8;",
    "--line:#39424c;--shade:#1d232a;--link:#7db4ff;--conv:#4aa8e0;--norm:#2bb894;--relu:#f08a4b;",
    "--gate:#b08ce0;--other:#9aa4ae}}",
    "*{box-sizing:border-box}",
    "body{margin:0 auto;max-width:64rem;padding:1rem;background:var(--ground);color:var(--ink);",
    "font:1rem/1.55 system-ui,'Segoe UI',Helvetica,Arial,'DejaVu Sans',sans-serif;",
    "overflow-wrap:anywhere}",
    "h1{font-size:1.7rem;line-height:1.25;margin:.4rem 0}",
    "h2{font-size:1.35rem;margin:2.6rem 0 .6rem;padding-top:.8rem;border-top:1px solid "
    "var(--line)}",
    "h3{font-size:1.1rem;margin:1.8rem 0 .5rem}h4{font-size:1rem;margin:1.2rem 0 .4rem}",
    "p{max-width:46rem;margin:.5rem 0}a{color:var(--link)}",
    "nav ul,ul.plain{padding-left:1.2rem;margin:.4rem 0}",
    "nav ul{columns:14rem}nav li{padding:.2rem 0}",
    ".soft,figcaption,.missing{color:var(--soft)}",
    ".missing{border-left:3px solid var(--line);padding-left:.7rem}",
    "code,pre{font-family:ui-monospace,'DejaVu Sans "
    "Mono',Menlo,Consolas,monospace;font-size:.86em}",
    "code{background:var(--shade);padding:.1em .3em;border-radius:.2em}",
    "pre{margin:.5rem 0;line-height:1.35;overflow-wrap:normal}",
    ".scroll{overflow-x:auto;max-width:100%;margin:.6rem 0}",
    ".scroll:focus-visible,summary:focus-visible{outline:2px solid var(--link);outline-offset:2px}",
    "table{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums;",
    "overflow-wrap:normal}",
    "caption{text-align:left;color:var(--soft);padding:.2rem 0}",
    "th,td{padding:.3rem .7rem .3rem 0;text-align:left;vertical-align:top;",
    "border-bottom:1px solid var(--line)}",
    "thead th{border-bottom:2px solid var(--line)}tbody th{font-weight:500}",
    "td.number,th.number{text-align:right;padding-right:1rem}td.number{white-space:nowrap}",
    "td.words{min-width:11rem}tbody th{min-width:7rem}.word{display:inline-block;max-width:100%}",
    "tr.ours td,tr.ours th{background:var(--shade)}",
    "table.pairs{width:100%;table-layout:fixed;overflow-wrap:anywhere}",
    "table.pairs th{width:11rem}",
    "details{margin:.6rem 0}summary{cursor:pointer;padding:.3rem 0;font-weight:500}",
    "figure{margin:.8rem 0}figcaption{font-size:.92rem;max-width:46rem;padding-top:.3rem}",
    ".units{display:flex;flex-wrap:wrap;gap:1rem 2rem;align-items:flex-start}",
    ".units figure{margin:0;max-width:100%}.units figcaption{max-width:20rem}",
    ".unit{color:var(--ink);font-size:13px}.unit text{fill:currentColor;text-anchor:middle}",
    ".unit .small{font-size:11px;fill:var(--soft)}.unit .end{font-size:14px}",
    ".unit .end .small{font-size:11px}",
    ".unit .edge{fill:none;stroke:currentColor;stroke-width:1.4}",
    ".box{stroke-width:1.4;fill-opacity:.14}.box text{stroke:none;fill-opacity:1}",
    ".conv rect{stroke:var(--conv);fill:var(--conv)}.norm "
    "rect{stroke:var(--norm);fill:var(--norm)}",
    ".relu rect{stroke:var(--relu);fill:var(--relu)}.gate "
    "rect{stroke:var(--gate);fill:var(--gate)}",
    ".other rect{stroke:var(--other);fill:var(--other)}",
    ".sum circle{fill:var(--ground);fill-opacity:1;stroke:currentColor}",
    ".sum path{fill:none;stroke:currentColor}",
    ".plan{color:var(--ink);width:100%;min-width:44rem;height:auto}",
    ".plan>rect:first-of-type{fill:none}.plan text{fill:currentColor}",
    ".plan path{stroke:var(--soft)}",
    "svg.plot{display:block}",
    "footer{margin-top:3rem;border-top:1px solid var(--line);padding-top:.6rem;font-size:.92rem}",
    "@media (min-width:48rem){body{padding:1.5rem 2rem}}",
    "@media (max-width:30rem){table.pairs th{width:8.2rem}}",
    "@media print{:root{--ground:#fff;--ink:#000;--soft:#444;--line:#bbb;--shade:#f4f4f4}",
    "body{max-width:none;padding:0;font-size:10pt}.scroll{overflow:visible}",
    ".plan{min-width:0}figure,tr{break-inside:avoid}h2,h3{break-after:avoid}",
    "details::details-content{content-visibility:visible;display:block;height:auto}}",
    NULL};

static inline void put_head(plot_buffer *out, const char *title) {
    int i;
    plot_format(out,
                "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                "<title>%w</title>\n<style>\n",
                title);
    for (i = 0; page_style[i]; i++) plot_format(out, "%s\n", page_style[i]);
    plot_puts(out, "</style>\n</head>\n<body>\n");
}

/* Text as printf has it, safe in HTML. */
#if defined(__MINGW32__)
__attribute__((format(__MINGW_PRINTF_FORMAT, 2, 3)))
#elif defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static inline void
put_text(plot_buffer *out, const char *format, ...) {
    char text[4096];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    plot_put_words(out, text, -1);
}

/* A whole number with commas between thousands. */
static inline void put_count(plot_buffer *out, double number) {
    char digits[32];
    int i, length = snprintf(digits, sizeof digits, "%.0f", number);
    for (i = 0; i < length; i++) {
        plot_put(out, digits + i, 1);
        if (digits[i] != '-' && i < length - 1 && (length - 1 - i) % 3 == 0) plot_puts(out, ",");
    }
}

/* A command, whose words stay whole where lines break, as far as they fit. */
static inline void put_command(plot_buffer *out, const char *command) {
    plot_puts(out, "<code>");
    while (*command) {
        char word[256];
        snprintf(word, sizeof word, "%.*s", (int)strcspn(command, " "), command);
        plot_format(out, "<span class=\"word\">%w</span>", word);
        command += strlen(word);
        for (; *command == ' '; command++) plot_puts(out, " ");
    }
    plot_puts(out, "</code>");
}

/* What is not there, and the command that makes it, or words. */
static inline void put_missing(plot_buffer *out, const char *what, const char *command,
                               const char *words) {
    plot_format(out, "<p class=\"missing\">No %w", what);
    if (command) plot_puts(out, ": ");
    if (command) put_command(out, command);
    plot_format(out, "%w.</p>\n", words ? words : "");
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* What is wider than the page scrolls in a box of its own, by keyboard, too. */
static inline void begin_scroll(plot_buffer *out, const char *label) {
    plot_format(out, "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"%w\">\n",
                label);
}

/* names: titles of the columns, of which `numbers`, from `first` on, hold numbers. */
static inline void begin_table(plot_buffer *out, const char *caption, const char *const *names,
                               int columns, int first, int numbers) {
    int i;
    begin_scroll(out, caption);
    plot_format(out, "<table>\n<caption>%w</caption>\n<thead><tr>", caption);
    for (i = 0; i < columns; i++)
        plot_format(out, "<th scope=\"col\"%s>%w</th>",
                    i >= first && i < first + numbers ? " class=\"number\"" : "", names[i]);
    plot_puts(out, "</tr></thead>\n<tbody>\n");
}

static inline void end_table(plot_buffer *out) { plot_puts(out, "</tbody>\n</table>\n</div>\n"); }

/* Is it a number, or said to be none? */
static inline int is_number(const char *text) {
    char *end;
    strtod(text, &end);
    return !*end;
}

/* A cell of numbers that may not be known. */
static inline void put_number_cell(plot_buffer *out, double value, int decimals) {
    char text[40] = "\xE2\x80\x93";
    if (isfinite(value)) snprintf(text, sizeof text, "%.*f", decimals, value);
    plot_format(out, "<td class=\"number\">%s</td>", text);
}

/* A whole CSV file, of long ones the first rows, folded. */
static inline void put_csv(plot_buffer *out, const csv *t, const char *name) {
    enum { MOST_ROWS = 400 };
    const int rows = t->rows < MOST_ROWS ? t->rows : MOST_ROWS;
    char title[96];
    int i, k;
    snprintf(title, sizeof title, "The numbers: %.40s, %d row%s%s", name, t->rows,
             t->rows == 1 ? "" : "s", rows < t->rows ? ", of which the first 400 are here" : "");
    plot_format(out, "<details>\n<summary>%w</summary>\n", title);
    begin_table(out, title, (const char *const *)t->cells, t->columns, 0, 0);
    for (i = 0; i < rows; i++) {
        plot_puts(out, "<tr>");
        for (k = 0; k < t->columns; k++)
            plot_format(out, "<td%s>%w</td>",
                        is_number(csv_cell(t, i, k)) ? " class=\"number\"" : "", csv_cell(t, i, k));
        plot_puts(out, "</tr>\n");
    }
    end_table(out);
    plot_puts(out, "</details>\n");
}

/* A row of a table of keys and values. */
static inline void put_pair(plot_buffer *out, const char *key, const char *value) {
    plot_format(out, "<tr><th scope=\"row\">%w</th><td>%w</td></tr>\n", key, value);
}

static inline void begin_pairs(plot_buffer *out, const char *caption) {
    plot_format(out, "<table class=\"pairs\">\n<caption>%w</caption>\n<tbody>\n", caption);
}
static inline void end_pairs(plot_buffer *out) { plot_puts(out, "</tbody>\n</table>\n"); }

/* ---- pictures -------------------------------------------------------------------------------- */

/* A figure of plot.h, which it frees. */
static inline void put_plot(plot_buffer *out, plot *p, const char *caption) {
    char *text = p ? plot_text(p) : NULL;
    if (!text) quit(1, "no memory for a picture");
    plot_format(out, "<figure>\n%s<figcaption>%w</figcaption>\n</figure>\n", text, caption);
    free(text);
    plot_free(p);
}

/* An SVG file of a directory; 0 if there is none. */
static inline int put_picture(plot_buffer *out, const char *path, const char *caption) {
    char *text = read_text(path);
    const char *fault = text ? picture_fault(skip_declaration(text)) : NULL;
    if (!text) return 0;
    if (fault) quit(1, "%s %s; remove it, or let its program write it again", path, fault);
    plot_format(out, "<figure>\n%s\n<figcaption>%w</figcaption>\n</figure>\n",
                skip_declaration(text), caption);
    free(text);
    return 1;
}

#endif /* REPORT_PAGE_H */

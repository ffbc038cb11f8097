// Package screen draws what `huntaze dev` shows: the live picture, the table at the end, and the lines for where there
// is no terminal.
//
// What is drawn is a function of a [Snapshot], a size and a [Look], without clock and I/O, so that every picture can be
// tested. Only [Terminal] writes. It promises:
//
//   - No line is wider than the terminal, whatever is in it: double-width characters count as two, and what could
//     move the cursor or turn the text around is left out. Contents come from strangers.
//   - Colours are the terminal's own green and red, bold and dim, which are made to be read on its background, light
//     or dark. Nothing is said by colour alone.
package screen

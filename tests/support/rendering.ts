/**
 * What a terminal shows of the bytes it was sent: text, line ends, and of the control sequences (ECMA-48) those that move the cursor
 * or erase. Anything else that is no mere colour or mode is an error, so that nothing is passed over. As tall as it has to be.
 */
export function renderScreen(raw: string): string[] {
  const lines: string[][] = [];
  let [row, column] = [0, 0];
  const line = () => {
    lines[row] ??= [];
    return lines[row] as string[];
  };

  function write(text: string): void {
    for (const letter of text) {
      if (letter === "\r") column = 0;
      else if (letter === "\n") row++;
      else if (letter === "\b") column = Math.max(0, column - 1);
      else if (letter >= " ") line()[column++] = letter;
      else if (letter !== "\x07") throw new Error(`no terminal shows ${JSON.stringify(letter)}`);
    }
  }

  function obey(parameters: string, final: string): void {
    const count = Number(parameters || 1);
    if (final === "A") row = Math.max(0, row - count);
    else if (final === "B") row += count;
    else if (final === "C") column += count;
    else if (final === "D") column = Math.max(0, column - count);
    else if (final === "G") column = count - 1;
    else if (final === "J" && parameters === "") {
      line().length = Math.min(line().length, column);
      lines.length = row + 1;
    } else if (final === "K" && parameters === "") line().length = Math.min(line().length, column);
    else if (final === "K" && parameters === "2") line().length = 0;
    else throw new Error(`a terminal would do more than this: CSI ${parameters}${final}`);
  }

  const [first = "", ...rest] = raw.split("\x1b[");
  write(first);
  for (const part of rest) {
    const [sequence = "", parameters = "", final = ""] = /^(\??[\d;]*)([A-Za-z])/.exec(part) ?? [];
    if (final !== "m" && !parameters.startsWith("?")) obey(parameters, final);
    write(part.slice(sequence.length));
  }
  return Array.from(lines, (cells = []) => {
    const shown = Array.from(cells, (cell = " ") => cell).join("");
    return shown.trimEnd();
  });
}

namespace Flint.App.Cli;

/// <summary>Plain columns for a terminal or a pipe.</summary>
internal static class TextTable
{
    /// <summary>Writes a header and rows in columns as wide as their widest cell; cells that are numbers are set to the right.</summary>
    public static void Write(TextWriter output, string[] header, IEnumerable<string[]> rows)
    {
        List<string[]> all = [header, .. rows];
        int[] widths = [.. Enumerable.Range(0, header.Length).Select(column => all.Max(row => row[column].Length))];
        foreach (string[] row in all)
        {
            IEnumerable<string> cells = row.Select((cell, column) =>
                IsRight(all, column) ? cell.PadLeft(widths[column]) : cell.PadRight(widths[column]));
            output.WriteLine(string.Join("  ", cells).TrimEnd());
        }
    }

    /// <summary>A moment in Unix milliseconds, in local time, to the second.</summary>
    public static string Time(long milliseconds) =>
        DateTimeOffset.FromUnixTimeMilliseconds(milliseconds).ToLocalTime().ToString("yyyy-MM-dd HH:mm:ss");

    private static bool IsRight(List<string[]> all, int column) =>
        all.Count > 1 && all.Skip(1).All(row => row[column].Length > 0 && (char.IsAsciiDigit(row[column][0]) && !row[column].Contains('-')));
}

namespace Flint.App.Cli;

/// <summary>Quantities as people read them.</summary>
internal static class Sizes
{
    /// <summary>Bytes in binary units, three significant figures: <c>1.31 GiB</c>.</summary>
    internal static string Text(long bytes)
    {
        if (bytes < 1024) return $"{bytes} B";
        double value = bytes;
        int unit = -1;
        for (; value >= 1023.5 && unit < 4; unit++) value /= 1024;
        return $"{Figures(value)} {"KMGTP"[unit]}iB";
    }

    /// <summary>A count in decimal units, three significant figures: <c>1.24 B</c>.</summary>
    internal static string Count(long count)
    {
        if (count < 1000) return $"{count}";
        double value = count;
        int unit = -1;
        for (; value >= 999.5 && unit < 3; unit++) value /= 1000;
        return $"{Figures(value)} {"KMBT"[unit]}";
    }

    private static string Figures(double value) => value.ToString(value >= 99.95 ? "0" : value >= 9.995 ? "0.0" : "0.00");
}

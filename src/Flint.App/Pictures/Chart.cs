using System.Globalization;
using System.Net;
using System.Text;

namespace Flint.App.Pictures;

/// <summary>A line of a chart.</summary>
/// <param name="Points">Its points, in order.</param>
/// <param name="Colour">A colour of SVG.</param>
/// <param name="Width">In pixels.</param>
/// <param name="Label">What the legend says; null for no entry.</param>
/// <param name="Dots">Whether every point is marked.</param>
internal sealed record ChartLine(IReadOnlyList<(double X, double Y)> Points, string Colour, double Width, string? Label = null, bool Dots = false);

/// <summary>Lines over two axes.</summary>
/// <param name="Title">Stands above.</param>
/// <param name="XTitle">What X is.</param>
/// <param name="YTitle">What Y is.</param>
/// <param name="Lines">The lines; those with fewer than two points are only dots.</param>
internal sealed record Chart(string Title, string XTitle, string YTitle, IReadOnlyList<ChartLine> Lines)
{
    private const int Left = 62, Right = 18, Top = 38, Bottom = 46;

    // More points than this do not show.
    private const int MaxPoints = 1200;

    /// <summary>The least and most of X; null for those of the points.</summary>
    public (double Low, double High)? XRange { get; init; }

    /// <summary>The least and most of Y; null for those of the points.</summary>
    public (double Low, double High)? YRange { get; init; }

    /// <summary>Whether equal factors of X are equally far apart. X is then above 0, and ticks stand at powers of 2.</summary>
    public bool IsLogarithmic { get; init; }

    /// <summary>An SVG picture of charts side by side.</summary>
    /// <param name="width">Of each, in pixels.</param>
    /// <param name="height">In pixels.</param>
    /// <param name="charts">The charts.</param>
    public static string Draw(int width, int height, params ReadOnlySpan<Chart> charts)
    {
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width * charts.Length} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n");
        svg.Append(CultureInfo.InvariantCulture, $"<rect width=\"{width * charts.Length}\" height=\"{height}\" fill=\"#fff\"/>\n");
        for (int i = 0; i < charts.Length; i++)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<g transform=\"translate({i * width} 0)\">\n");
            charts[i].Draw(svg, width, height);
            svg.Append("</g>\n");
        }
        return svg.Append("</svg>\n").ToString();
    }

    /// <summary>Round numbers between two values, four to eight of them.</summary>
    internal static IEnumerable<double> Ticks(double low, double high)
    {
        double step = Math.Pow(10, Math.Floor(Math.Log10((high - low) / 4)));
        foreach (int factor in (int[])[2, 5, 10])
            if ((high - low) / step > 8) step = Math.Pow(10, Math.Floor(Math.Log10((high - low) / 4))) * factor;
        for (double i = Math.Ceiling(low / step); i * step <= high + 1e-9 * step; i++) yield return i * step;
    }

    private void Draw(StringBuilder svg, int width, int height)
    {
        (double low, double high) xs = XRange ?? Range(Lines.SelectMany(l => l.Points).Select(p => p.X)), ys = YRange ?? Range(Lines.SelectMany(l => l.Points).Select(p => p.Y));
        double Scale(double x) => IsLogarithmic ? Math.Log2(x) : x;
        double X(double x) => Left + (Scale(x) - Scale(xs.low)) / (Scale(xs.high) - Scale(xs.low)) * (width - Left - Right);
        double Y(double y) => Top + (ys.high - y) / (ys.high - ys.low) * (height - Top - Bottom);

        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left}\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{WebUtility.HtmlEncode(Title)}</text>\n");
        foreach (double tick in Ticks(ys.low, ys.high))
        {
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Left}\" x2=\"{width - Right}\" y1=\"{Y(tick):F1}\" y2=\"{Y(tick):F1}\" stroke=\"#ddd\"/>");
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left - 8}\" y=\"{Y(tick) + 4:F1}\" text-anchor=\"end\">{tick:0.###}</text>\n");
        }
        foreach (double tick in IsLogarithmic ? PowersOfTwo(xs.low, xs.high) : Ticks(xs.low, xs.high))
        {
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{X(tick):F1}\" x2=\"{X(tick):F1}\" y1=\"{Top}\" y2=\"{height - Bottom}\" stroke=\"#eee\"/>");
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{X(tick):F1}\" y=\"{height - Bottom + 18}\" text-anchor=\"middle\">{Short(tick)}</text>\n");
        }
        int middle = (Top + height - Bottom) / 2;
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{(Left + width - Right) / 2}\" y=\"{height - 8}\" text-anchor=\"middle\">{WebUtility.HtmlEncode(XTitle)}</text>\n");
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"16\" y=\"{middle}\" text-anchor=\"middle\" transform=\"rotate(-90 16 {middle})\">{WebUtility.HtmlEncode(YTitle)}</text>\n");
        int labels = Lines.Count(l => l.Label is not null), label = 0;
        foreach (ChartLine line in Lines)
        {
            Append(svg, line, X, Y);
            if (line.Label is null) continue;
            int y = height - Bottom - 14 - 18 * (labels - ++label);
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{width - Right - 190}\" x2=\"{width - Right - 165}\" y1=\"{y - 4}\" y2=\"{y - 4}\" stroke=\"{line.Colour}\" stroke-width=\"{Math.Max(2, line.Width)}\"/>");
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{width - Right - 158}\" y=\"{y}\">{WebUtility.HtmlEncode(line.Label)}</text>\n");
        }
    }

    private static void Append(StringBuilder svg, ChartLine line, Func<double, double> x, Func<double, double> y)
    {
        IReadOnlyList<(double X, double Y)> points = line.Points;
        if (points.Count > 1)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<polyline fill=\"none\" stroke=\"{line.Colour}\" stroke-width=\"{line.Width}\" points=\"");
            int stride = (points.Count + MaxPoints - 1) / MaxPoints;
            for (int i = 0; i < points.Count; i += stride) svg.Append(CultureInfo.InvariantCulture, $"{x(points[i].X):F1},{y(points[i].Y):F1} ");
            if ((points.Count - 1) % stride != 0) svg.Append(CultureInfo.InvariantCulture, $"{x(points[^1].X):F1},{y(points[^1].Y):F1} ");
            svg.Append("\"/>\n");
        }
        for (int i = 0; line.Dots && i < points.Count; i++)
            svg.Append(CultureInfo.InvariantCulture, $"<circle cx=\"{x(points[i].X):F1}\" cy=\"{y(points[i].Y):F1}\" r=\"3.5\" fill=\"{line.Colour}\"/>\n");
    }

    // A little beyond the points; a range that would be empty is 1 wide.
    private (double Low, double High) Range(IEnumerable<double> values)
    {
        double[] all = [.. values];
        if (all.Length == 0) return (IsLogarithmic ? 1 : 0, IsLogarithmic ? 2 : 1);
        double low = all.Min(), high = all.Max();
        if (IsLogarithmic) return (low / 1.15, high * 1.15);
        low = Math.Max(Math.Min(0, low), low - 0.05 * (high - low));
        return high - low < 1e-9 ? (low, low + 1) : (low, high);
    }

    private static IEnumerable<double> PowersOfTwo(double low, double high)
    {
        for (double tick = Math.Pow(2, Math.Ceiling(Math.Log2(low))); tick <= high; tick *= 2) yield return tick;
    }

    private static string Short(double value) => value switch
    {
        >= 1e9 => string.Create(CultureInfo.InvariantCulture, $"{value / 1e9:0.##} G"),
        >= 1e6 => string.Create(CultureInfo.InvariantCulture, $"{value / 1e6:0.##} M"),
        >= 1e4 => string.Create(CultureInfo.InvariantCulture, $"{value / 1e3:0.##} k"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{value:0.####}"),
    };
}

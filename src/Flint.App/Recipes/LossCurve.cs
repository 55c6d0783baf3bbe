using System.Globalization;
using System.Net;
using System.Text;

namespace Flint.App.Recipes;

/// <summary>Draws a run's loss over its tokens as an SVG picture: the steps thin, their average bold.</summary>
internal static class LossCurve
{
    private const int Width = 860, Height = 420, Left = 62, Right = 18, Top = 38, Bottom = 46;

    // More points than this do not show.
    private const int MaxPoints = 1200;

    /// <summary>The picture of some rows; with fewer than two there is nothing to draw but the axes.</summary>
    internal static string Draw(string title, IReadOnlyList<TrainingRow> rows)
    {
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" font-family=\"sans-serif\" font-size=\"12\">\n");
        svg.Append(CultureInfo.InvariantCulture, $"<rect width=\"{Width}\" height=\"{Height}\" fill=\"#fff\"/>\n");
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left}\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{WebUtility.HtmlEncode(title)}</text>\n");
        double most = Math.Max(1, rows.Count > 0 ? rows[^1].Tokens : 1);
        // The first steps of a fresh model are far above the rest and may leave the picture's scale to it.
        double low = rows.Count > 0 ? rows.Min(r => r.Loss) : 0, high = rows.Count > 0 ? rows.Max(r => r.Loss) : 1;
        low = Math.Max(0, low - 0.05 * (high - low));
        if (high - low < 1e-9) high = low + 1;
        double X(double tokens) => Left + tokens / most * (Width - Left - Right);
        double Y(double loss) => Top + (high - loss) / (high - low) * (Height - Top - Bottom);

        foreach (double tick in Ticks(low, high))
        {
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Y(tick):F1}\" y2=\"{Y(tick):F1}\" stroke=\"#ddd\"/>");
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left - 8}\" y=\"{Y(tick) + 4:F1}\" text-anchor=\"end\">{tick:0.###}</text>\n");
        }
        foreach (double tick in Ticks(0, most))
        {
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{X(tick):F1}\" x2=\"{X(tick):F1}\" y1=\"{Top}\" y2=\"{Height - Bottom}\" stroke=\"#eee\"/>");
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{X(tick):F1}\" y=\"{Height - Bottom + 18}\" text-anchor=\"middle\">{Short(tick)}</text>\n");
        }
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{(Left + Width - Right) / 2}\" y=\"{Height - 8}\" text-anchor=\"middle\">tokens</text>\n");
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"16\" y=\"{(Top + Height - Bottom) / 2}\" text-anchor=\"middle\" transform=\"rotate(-90 16 {(Top + Height - Bottom) / 2})\">loss, nats per token</text>\n");
        Line(svg, rows, r => (X(r.Tokens), Y(r.Loss)), "#9db7d5", 0.8);
        Line(svg, rows, r => (X(r.Tokens), Y(r.Smoothed)), "#1f4e8c", 2);
        return svg.Append("</svg>\n").ToString();
    }

    private static void Line(StringBuilder svg, IReadOnlyList<TrainingRow> rows, Func<TrainingRow, (double X, double Y)> point, string colour, double width)
    {
        if (rows.Count < 2) return;
        svg.Append(CultureInfo.InvariantCulture, $"<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" points=\"");
        int stride = (rows.Count + MaxPoints - 1) / MaxPoints;
        for (int i = 0; i < rows.Count; i += stride) Append(rows[i]);
        if ((rows.Count - 1) % stride != 0) Append(rows[^1]);
        svg.Append("\"/>\n");

        void Append(TrainingRow row)
        {
            (double x, double y) = point(row);
            svg.Append(CultureInfo.InvariantCulture, $"{x:F1},{y:F1} ");
        }
    }

    /// <summary>Round numbers between two values, four to eight of them.</summary>
    internal static IEnumerable<double> Ticks(double low, double high)
    {
        double step = Math.Pow(10, Math.Floor(Math.Log10((high - low) / 4)));
        foreach (int factor in (int[])[2, 5, 10])
            if ((high - low) / step > 8) step = Math.Pow(10, Math.Floor(Math.Log10((high - low) / 4))) * factor;
        for (double i = Math.Ceiling(low / step); i * step <= high + 1e-9 * step; i++) yield return i * step;
    }

    private static string Short(double value) => value switch
    {
        >= 1e9 => string.Create(CultureInfo.InvariantCulture, $"{value / 1e9:0.##} G"),
        >= 1e6 => string.Create(CultureInfo.InvariantCulture, $"{value / 1e6:0.##} M"),
        >= 1e3 => string.Create(CultureInfo.InvariantCulture, $"{value / 1e3:0.##} k"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{value:0.##}"),
    };
}

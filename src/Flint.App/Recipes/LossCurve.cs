using Flint.App.Pictures;

namespace Flint.App.Recipes;

/// <summary>Draws a run's loss over its tokens as an SVG picture: the steps thin, their average bold.</summary>
internal static class LossCurve
{
    private const int Width = 860, Height = 420;

    /// <summary>The picture of some rows; with fewer than two there is nothing to draw but the axes.</summary>
    internal static string Draw(string title, IReadOnlyList<TrainingRow> rows) => Chart.Draw(Width, Height, new Chart(title, "tokens", "loss, nats per token",
    [
        new ChartLine([.. rows.Select(r => ((double)r.Tokens, (double)r.Loss))], "#9db7d5", 0.8),
        new ChartLine([.. rows.Select(r => ((double)r.Tokens, (double)r.Smoothed))], "#1f4e8c", 2),
    ])
    { XRange = (0, Math.Max(1, rows.Count > 0 ? rows[^1].Tokens : 1)) });
}

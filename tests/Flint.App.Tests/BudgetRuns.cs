using System.Diagnostics;

namespace Flint.App.Tests;

/// <summary>
/// The runs of a test of budgets: as many as it has usually, or as <c>FLINT_BUDGET_RUNS</c> says, numbered from <c>FLINT_BUDGET_SEED</c> on.
/// The number is the seed of all that a run draws.
/// </summary>
internal static class BudgetRuns
{
    internal static async Task RunAsync(int usual, ITestOutputHelper output, Func<int, Task<string>> run)
    {
        int runs = Number("FLINT_BUDGET_RUNS") ?? usual, first = Number("FLINT_BUDGET_SEED") ?? 0;
        for (int seed = first; seed < first + runs; seed++)
        {
            long begun = Stopwatch.GetTimestamp();
            string seen;
            try
            {
                seen = await run(seed);
            }
            catch
            {
                output.WriteLine($"seed {seed}: failed");
                throw;
            }

            output.WriteLine($"seed {seed}: {seen}; {Stopwatch.GetElapsedTime(begun).TotalSeconds:F1} s");
        }
    }

    private static int? Number(string variable) => int.TryParse(Environment.GetEnvironmentVariable(variable), out int number) ? number : null;
}

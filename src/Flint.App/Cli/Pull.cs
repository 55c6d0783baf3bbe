using System.CommandLine;
using Flint.App.Serving;
using Spectre.Console;

namespace Flint.App.Cli;

/// <summary><c>flint pull OWNER/REPO[:QUANT]</c>: fetches a model from a Hugging Face hub, verified.</summary>
internal static class Pull
{
    internal const string EndpointVariable = "HF_ENDPOINT";
    internal const string TokenVariable = "HF_TOKEN";
    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);
    private const string DefaultEndpoint = "https://huggingface.co";

    internal static Command Create()
    {
        var model = new Argument<string>("MODEL") { Description = "OWNER/REPO, or OWNER/REPO:QUANT such as unsloth/Llama-3.2-1B-Instruct-GGUF:Q8_0" };
        var command = new Command("pull",
            "Fetch a model from the Hugging Face hub. Broken downloads go on where they stopped; a file whose SHA-256 differs is refused. "
            + $"Models go to $FLINT_HOME/models ({ModelLocator.Home}/models). HF_ENDPOINT and HF_TOKEN are honoured.") { model };
        command.SetAction((parsed, cancel) => RunAsync(parsed.GetRequiredValue(model), cancel));
        return command;
    }

    private static async Task<int> RunAsync(string model, CancellationToken cancel)
    {
        if (!ModelLocator.TryParse(model, out string repository, out string? quantization))
            throw FlintException.Caller("invalid_model", $"expected OWNER/REPO or OWNER/REPO:QUANT, found {model}");

        string endpoint = Environment.GetEnvironmentVariable(EndpointVariable) is { Length: > 0 } set ? set : DefaultEndpoint;
        using var hub = new Hub(endpoint, Environment.GetEnvironmentVariable(TokenVariable));
        IReadOnlyList<HubFile> listed = await hub.ListAsync(repository, cancel);
        var byPath = listed.GroupBy(f => f.Path, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.First(), StringComparer.Ordinal);
        var chosen = ModelFiles.Choose(repository, byPath.Keys, quantization).Select(path => byPath[path]).ToList();

        string folder = ModelLocator.Folder(repository);
        IAnsiConsole screen = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        if (Console.IsErrorRedirected)
        {
            foreach (HubFile file in chosen)
            {
                bool fetched = await new Download(hub, repository, file, Target(folder, file), FirstPause).RunAsync(_ => { }, cancel);
                await Console.Error.WriteLineAsync($"{file.Path}: {(fetched ? "fetched and verified" : "already here, verified")}");
            }
        }
        else
        {
            await screen.Progress().Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new DownloadedColumn(),
                new TransferSpeedColumn(), new RemainingTimeColumn()).StartAsync(async context =>
            {
                var tasks = chosen.Select(file => context.AddTask(Markup.Escape(Path.GetFileName(file.Path)), maxValue: Math.Max(1, file.Size))).ToList();
                for (int i = 0; i < chosen.Count; i++)
                {
                    await new Download(hub, repository, chosen[i], Target(folder, chosen[i]), FirstPause).RunAsync(done => tasks[i].Value = done, cancel);
                    tasks[i].Value = tasks[i].MaxValue;
                }
            });
        }
        Console.WriteLine(Target(folder, chosen[0]));
        return 0;
    }

    private static string Target(string folder, HubFile file) => Path.Combine([folder, .. file.Path.Split('/')]);
}

using System.CommandLine;
using Flint.App.Nano;

namespace Flint.App.Cli;

/// <summary><c>flint nano</c>: the generated world that flint-nano is trained in.</summary>
internal static class Nano
{
    private const int BufferBytes = 1 << 20;

    /// <summary>The verb.</summary>
    public static Command Create() => new("nano", "The generated world of flint-nano.") { CreateData() };

    internal static Option<string?> TaskOption() => new("--task")
    {
        Description = $"One skill only: {string.Join(", ", NanoWorld.Tasks)}; or {NanoWorld.WordsTask}, which is kept for fine-tuning.",
        HelpName = "TASK",
    };

    private static Command CreateData()
    {
        var seed = new Option<ulong>("--seed") { Description = "The same seed and options give the same file, byte for byte.", DefaultValueFactory = _ => 1, HelpName = "S" };
        var items = Verb.Range(new Option<int>("--items") { Description = "How many examples.", Required = true, HelpName = "N" }, 1, NanoData.MaxItems);
        var output = new Option<string>("--out", "-o") { Description = "The file to write.", Required = true, HelpName = "FILE" };
        Option<string?> task = TaskOption();
        Option<int> stage = Verb.Range(new Option<int>("--stage") { Description = "For which stage of training; they differ in how answers are thought over.", DefaultValueFactory = _ => NanoWorld.Stages, HelpName = "N" }, 1, NanoWorld.Stages);
        var command = new Command("data", "Write training examples as JSON lines of chat messages.") { seed, items, output, task, stage };
        command.SetAction(parsed =>
        {
            string? skill = parsed.GetValue(task);
            if (skill is not null) NanoWorld.CheckTask(skill);
            string path = parsed.GetRequiredValue(output);
            using (var file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, BufferBytes))
                NanoData.Write(file, parsed.GetValue(seed), parsed.GetValue(items), skill, parsed.GetValue(stage));
            Console.WriteLine($"{path}: {parsed.GetValue(items)} examples, {Sizes.Text(new FileInfo(path).Length)}");
        });
        return command;
    }
}

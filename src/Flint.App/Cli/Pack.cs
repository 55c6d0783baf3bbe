using System.CommandLine;
using Flint.App.Serving;
using Flint.Models;

namespace Flint.App.Cli;

/// <summary><c>flint pack MODEL</c>: writes the packed copy that shortens the next starts.</summary>
internal static class Pack
{
    internal static Command Create()
    {
        var model = Verb.Model();
        Option<int> threads = Verb.Threads();
        var command = new Command("pack", $"Write a model's matrices as they are computed with into a file beside it (MODEL{PackedCopy.Extension}), which every later start maps instead of packing them anew. It takes about as much room as the model, and is passed over once the model has changed.") { model, threads };
        command.SetAction(parsed =>
        {
            string path = PackedCopy.Write(ModelLocator.Find(parsed.GetRequiredValue(model)), parsed.GetValue(threads));
            Console.WriteLine($"{path}: {Sizes.Text(new FileInfo(path).Length)}");
        });
        return command;
    }
}

using System.CommandLine;
using System.Runtime.InteropServices;
using Flint.Models;

namespace Flint.App.Cli;

/// <summary><c>flint version</c>: the release, the runtime and the instruction sets its kernels run on.</summary>
internal static class Version
{
    internal static Command Create()
    {
        var command = new Command("version", "Print the version, the runtime and the instruction sets in use.");
        command.SetAction(_ => Console.WriteLine(Text()));
        return command;
    }

    private static string Text() =>
        $"flint {typeof(Version).Assembly.GetName().Version!.ToString(3)} "
        + $"({RuntimeInformation.FrameworkDescription}, {RuntimeInformation.RuntimeIdentifier}, {Model.InstructionSets}, {Environment.ProcessorCount} processors)";
}

using System.CommandLine;
using Flint.App.Accounts;

namespace Flint.App.Cli;

/// <summary><c>flint audit</c>: whether the ledger is as it was written.</summary>
internal static class Audit
{
    private const int Altered = 1;

    /// <summary>The verb.</summary>
    public static Command Create() => new("audit", "Whether the records of what was used are as they were written.") { CreateVerify(), CreateHead() };

    private static Command CreateVerify()
    {
        var noted = new Option<string?>("--head") { HelpName = "COUNT:HASH", Description = "A state noted before, which the records must still contain." };
        Option<string?> data = DataOption.Create();
        var command = new Command("verify", "Check the hash chain over all records; ends with 1 where one was altered, added or removed.") { noted, data };
        command.SetAction(parsed =>
        {
            AuditResult result = AuditChain.Verify(DataOption.Open(parsed, data), parsed.GetValue(noted) is { } text ? AuditHead.Parse(text) : null);
            if (result.Fault is { } fault)
            {
                Console.Error.WriteLine($"flint: {fault}");
                return Altered;
            }

            Console.Out.WriteLine($"{result.Head.Count} records, all as they were written. Head: {result.Head}");
            return 0;
        });
        return command;
    }

    private static Command CreateHead()
    {
        Option<string?> data = DataOption.Create();
        var command = new Command("head", "Print the present state, to be noted where nobody who can write the records can write.") { data };
        command.SetAction(parsed =>
        {
            Console.Out.WriteLine(AuditChain.Head(DataOption.Open(parsed, data)));
            return 0;
        });
        return command;
    }
}

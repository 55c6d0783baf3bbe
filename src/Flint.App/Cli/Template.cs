using System.CommandLine;
using System.Text;
using Flint.Dialects;

namespace Flint.App.Cli;

/// <summary><c>flint template</c>: renders chat templates with given conversations, to check them against another implementation.</summary>
internal static class Template
{
    internal static Command Create()
    {
        var templates = new Option<string>("--templates") { Description = "A folder of Jinja templates, *.jinja.", Required = true, HelpName = "DIR" };
        var cases = new Option<string>("--cases") { Description = "A JSON file: now (a fixed clock), defaults (variables of every case), cases (name to variables).", Required = true, HelpName = "FILE" };
        var command = new Command("template", "Render every template of a folder with every case of a file: one JSON line each, with template, case, and text or error.") { templates, cases };
        command.SetAction(parsed =>
        {
            using var output = new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(false)) { NewLine = "\n" };
            TemplateCases.Run(parsed.GetRequiredValue(templates), parsed.GetRequiredValue(cases), output);
        });
        return command;
    }
}
